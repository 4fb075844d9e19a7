//! The reasons for a failure, with a title and advice each.

words! {
    /// The reason for a failure. Its names are used on the wire and as metric labels.
    #[non_exhaustive]
    pub enum FailureReason {
        /// The registry has no such tag, digest or layer, or hides it from this client.
        NotFound = "not_found",
        /// The registry rejected the credentials, or they grant no access (401, 403).
        Unauthorized = "unauthorized",
        /// The registry limits the rate of pulls (429).
        RateLimited = "rate_limited",
        /// The kubelet throttled the pull (registryPullQPS). No registry was contacted.
        KubeletQps = "kubelet_qps",
        /// The registry returned a server error (5xx).
        RegistryError = "registry_error",
        /// The registry's host name could not be resolved.
        Dns = "dns",
        /// The registry could not be reached: the port is closed, or there is no route.
        ConnectionRefused = "connection_refused",
        /// The registry, or a service in front of it, did not answer in time.
        Timeout = "timeout",
        /// The TLS handshake failed: an untrusted certificate, or plain HTTP instead of HTTPS.
        Tls = "tls",
        /// The node's proxy refused the request.
        Proxy = "proxy",
        /// The node's disk is full, or a quota is exceeded.
        NoSpace = "no_space",
        /// The image does not support the node's platform.
        NoMatchingPlatform = "no_matching_platform",
        /// The content does not match the manifest: different, missing or extra bytes.
        DigestMismatch = "digest_mismatch",
        /// The node's signature or image policy rejected the image.
        Signature = "signature",
        /// The image name is invalid.
        InvalidName = "invalid_name",
        /// The image is not on the node, and the pod's pull policy is `Never`.
        NeverPull = "never_pull",
        /// The runtime received no bytes within its progress timeout.
        ProgressTimeout = "progress_timeout",
        /// The runtime restarted or stopped during the pull.
        RuntimeRestarted = "runtime_restarted",
        /// The caller or the runtime cancelled the pull.
        Cancelled = "cancelled",
        /// The pull ended without its image, and no reason was reported.
        Unexplained = "unexplained",
        /// Any other failure, including reasons added by newer versions.
        Other = "other",
    }
}

impl FailureReason {
    /// Returns a short title in sentence case.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::NotFound => "Image not found",
            Self::Unauthorized => "Unauthorized",
            Self::RateLimited => "Rate limited",
            Self::KubeletQps => "Throttled by the kubelet",
            Self::RegistryError => "Registry error",
            Self::Dns => "DNS lookup failed",
            Self::ConnectionRefused => "Connection refused",
            Self::Timeout => "Timed out",
            Self::Tls => "TLS error",
            Self::Proxy => "Proxy error",
            Self::NoSpace => "No space left on device",
            Self::NoMatchingPlatform => "No image for this platform",
            Self::DigestMismatch => "Content mismatch",
            Self::Signature => "Signature rejected",
            Self::InvalidName => "Invalid image name",
            Self::NeverPull => "Not present (pull policy Never)",
            Self::ProgressTimeout => "No progress",
            Self::RuntimeRestarted => "Runtime restarted",
            Self::Cancelled => "Cancelled",
            Self::Unexplained => "No reason given",
            Self::Other => "Other failure",
        }
    }

    /// Returns advice in one line, or `None` if only the message can help.
    #[must_use]
    pub const fn hint(self) -> Option<&'static str> {
        Some(match self {
            Self::NotFound => {
                "The registry has no such tag or digest. Check the image name; many registries also answer 404 when credentials are missing."
            }
            Self::Unauthorized => {
                "The registry rejected the credentials, or none were sent. Check imagePullSecrets and their scope."
            }
            Self::RateLimited => {
                "The registry is limiting pulls (429). Authenticate, use a pull-through cache, or wait."
            }
            Self::KubeletQps => {
                "The node exceeded registryPullQPS/registryBurst. The kubelet retries on its own."
            }
            Self::RegistryError => {
                "The registry returned a server error (5xx). Check its status; the kubelet retries."
            }
            Self::Dns => {
                "The node could not resolve the registry's host. Check the host name and the node's resolver (not the pod's)."
            }
            Self::ConnectionRefused => {
                "Nothing accepted the connection. Check that the registry or mirror is running, its port, and firewalls."
            }
            Self::Timeout => {
                "No answer in time. Check the network path to the host named in the message."
            }
            Self::Tls => {
                "The TLS handshake failed. Check the certificate's issuer, host name and expiry, the node's clock, and http vs https."
            }
            Self::Proxy => {
                "The node's proxy refused the request. Check HTTPS_PROXY and NO_PROXY of the runtime."
            }
            Self::NoSpace => "The disk named in the message is full. Free space or enlarge it.",
            Self::NoMatchingPlatform => {
                "Build the image for the node's OS and architecture, or schedule elsewhere (kubernetes.io/os, kubernetes.io/arch)."
            }
            Self::DigestMismatch => {
                "The content differs from the manifest: a mirror, proxy or registry served broken data."
            }
            Self::Signature => "The node's signature policy rejected the image.",
            Self::InvalidName => "Fix the image reference in the pod spec.",
            Self::NeverPull => "Load the image onto the node, or change imagePullPolicy.",
            Self::ProgressTimeout => {
                "The runtime gave up after receiving nothing for image_pull_progress_timeout."
            }
            Self::RuntimeRestarted => {
                "The container runtime restarted during the pull. The kubelet retries."
            }
            Self::Cancelled => "The caller or the runtime cancelled the pull.",
            Self::Unexplained => "Check the pod's events and the runtime's log on the node.",
            Self::Other => return None,
        })
    }

    /// Reports whether the reason is a cause. A cause is not replaced by later reports.
    #[must_use]
    pub const fn is_specific(self) -> bool {
        self.specificity() == 3
    }

    /// Ranks reasons by how much they explain; a specific cause ranks highest.
    pub(super) const fn specificity(self) -> u8 {
        match self {
            Self::Unexplained => 0,
            Self::Other => 1,
            // When one layer fails, the others may be cancelled because of it.
            Self::Cancelled => 2,
            _ => 3,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::FailureReason as R;

    #[test]
    fn reason_names_round_trip() {
        for reason in R::ALL {
            assert_eq!(R::from_name(reason.as_str()), Some(reason));
        }
        assert_eq!(R::from_name("from_the_future"), None);
    }

    #[test]
    fn hints_are_single_line_sentences() {
        for reason in R::ALL {
            assert!(!reason.title().ends_with('.'), "{reason}");
            let Some(hint) = reason.hint() else {
                assert_eq!(reason, R::Other);
                continue;
            };
            assert!(hint.len() <= 160 && !hint.contains('\n'), "{reason}");
            assert!(hint.ends_with('.'), "{reason}");
        }
    }
}
