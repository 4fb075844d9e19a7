//! containerd's versions, and the behaviour that depends on them.

/// The numbers of a version such as `v2.1.0-rc.1`; those that are missing are `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version {
    /// Major and minor version.
    series: Option<(u32, u32)>,
    patch: Option<u32>,
}

impl Version {
    pub(super) fn parse(text: &str) -> Self {
        let mut numbers = text.trim_start_matches('v').split('.').map(|part| {
            part.split(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse().ok())
        });
        let (major, minor) = (numbers.next().flatten(), numbers.next().flatten());
        Self { series: major.zip(minor), patch: numbers.next().flatten() }
    }

    /// Returns whether the tracker's rules were verified with this version: 1.6 to 2.x.
    pub(super) fn is_supported(self) -> bool {
        matches!(self.series, Some((1, 6..) | (2, _)))
    }

    /// Returns whether all pulls of a node share the download slots: from 2.1 on.
    pub(super) fn has_shared_slots(self) -> bool {
        self.series >= Some((2, 1))
    }

    /// Returns whether the CRI plugin skips names that already exist, except for the pulled one. It
    /// does from 1.6.30 and 1.7.14 on (observed on 1.6.20, 1.7.35, 2.0 and 2.4; also in the source).
    pub(super) fn skips_existing_names(self) -> bool {
        let patch = self.patch.unwrap_or_default();
        match self.series {
            Some((1, 6)) => patch >= 30,
            Some((1, 7)) => patch >= 14,
            series => series >= Some((2, 0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tested_versions_are_supported() {
        for known in ["1.6.20~ds1", "v1.7.34", "v2.0.0-rc.1", "v2.4.2", "2.9.0+k3s1"] {
            assert!(Version::parse(known).is_supported(), "{known}");
        }
        for other in ["v1.5.18", "v3.0.0", "", "dev", "1", "1.x", "v1..6", "99999999999.1"] {
            assert!(!Version::parse(other).is_supported(), "{other}");
        }
    }
}
