//! A report as JSON, in one body or in several, none larger than a server takes: pure.
//!
//! Nothing is left out of a report that is too large for one body. The first part then holds the live
//! pulls, and of the others those that ended last: a receiver of a full report takes what is absent for
//! over. Where even the live ones do not fit, they are there without their layers. What is missing
//! follows at once, in parts that are not full.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::time::Duration;

use pulltrace_core::wire::check::{MAX_IMAGES, MAX_NUMBER, MAX_PULLS};
use pulltrace_core::wire::v1;
use pulltrace_core::{Digest, Image, Pull};
use serde::Serialize;

use crate::sink::Report;

/// The largest body, before it is compressed: what a server takes by default.
pub const MAX_BODY: usize = 1 << 20;

/// What the rest of a body may take; texts in it are short.
const ENVELOPE: usize = 16 << 10;

/// The word in `dropped.anomalies` for pulls that were told without their image, since the two do not
/// fit into one body or the image's sizes into a JSON number.
const IMAGE_LEFT_OUT: &str = "image_left_out";

/// More images than this are not remembered as told: all are then told again.
const MAX_TOLD: usize = 4_096;

/// Who reports, and of what.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) agent: v1::AgentInfo,
    pub(super) namespace: Option<String>,
    pub(super) images_left_out: u64,
}

/// One body, and what its acknowledgement means.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) sequence: u64,
    pub(super) full: bool,
    pub(super) json: Vec<u8>,
    /// The images that are in it.
    images: BTreeMap<Digest, u64>,
}

/// The images that the server has been told, by the mark of what it was told of each.
#[derive(Debug, Default)]
pub(super) struct Told {
    epoch: String,
    marks: BTreeMap<Digest, u64>,
}

impl Told {
    /// The server that has this epoch took the part. Another server than before knows nothing of what
    /// was told earlier.
    pub(super) fn acknowledged(&mut self, part: Part, epoch: &str) {
        if part.full || self.epoch != epoch {
            epoch.clone_into(&mut self.epoch);
            self.marks.clear();
        }
        if self.marks.len() + part.images.len() > MAX_TOLD {
            self.marks.clear();
        }
        self.marks.extend(part.images);
    }
}

/// The bodies of a report, in the order in which they must arrive, with sequences from this one on.
pub(super) fn parts(
    report: &Report,
    who: &mut Identity,
    told: &Told,
    sequence: u64,
) -> serde_json::Result<Vec<Part>> {
    let cut = |measured| {
        let mut cutter = Cutter::new(report, who, told, sequence, measured);
        cutter.cut()?;
        Ok::<_, serde_json::Error>((cutter.left_out, cutter.parts))
    };
    // Nearly always one body has room for all, and nothing need be measured.
    let (mut left_out, mut parts) = cut(false)?;
    if report.pulls.len() > MAX_PULLS || parts.iter().any(|part| part.json.len() > MAX_BODY) {
        (left_out, parts) = cut(true)?;
    }
    who.images_left_out += left_out;
    Ok(parts)
}

/// Fills one part after the other.
struct Cutter<'a> {
    report: &'a Report,
    who: &'a Identity,
    /// What the server was told before this report; nothing counts before a full one.
    told: Option<&'a BTreeMap<Digest, u64>>,
    sequence: u64,
    /// Whether a part is closed when it is full.
    measured: bool,
    parts: Vec<Part>,
    left_out: u64,
    part: Open<'a>,
}

/// The part that is being filled.
#[derive(Default)]
struct Open<'a> {
    size: usize,
    pulls: Vec<v1::ReportPull>,
    images: Vec<v1::ReportImage>,
    marks: BTreeMap<Digest, u64>,
    /// By which image the layers of each root are numbered in this part.
    meant: BTreeMap<&'a Digest, &'a Image>,
}

/// A pull as it would stand in the part that is being filled.
struct Item<'a> {
    pull: v1::ReportPull,
    image: Option<&'a Image>,
    /// What must be told of that image with it.
    tell: Option<(v1::ReportImage, u64)>,
    size: usize,
}

impl<'a> Cutter<'a> {
    fn new(
        report: &'a Report,
        who: &'a Identity,
        told: &'a Told,
        sequence: u64,
        measured: bool,
    ) -> Self {
        Self {
            report,
            who,
            told: (!report.full).then_some(&told.marks),
            sequence,
            measured,
            parts: Vec::new(),
            left_out: 0,
            part: Open::default(),
        }
    }

    fn cut(&mut self) -> serde_json::Result<()> {
        let pulls = self.report.pulls.iter().map(AsRef::as_ref);
        let (live, mut ended): (Vec<&Pull>, Vec<&Pull>) =
            pulls.partition(|pull| pull.outcome().is_none());
        ended.sort_by_key(|pull| std::cmp::Reverse(pull.ended_at));
        for pull in &live {
            self.add(pull)?;
        }
        let too_many = self.report.full && !self.parts.is_empty();
        if too_many {
            // The live pulls alone are too much for the part that must have them all.
            (self.parts, self.part) = (Vec::new(), Open::default());
            self.left_out = 0;
            for pull in &live {
                let mut brief = v1::ReportPull::from(*pull);
                without_image(&mut brief);
                self.push(self.item(brief, None, None)?)?;
            }
        }
        for pull in ended {
            self.add(pull)?;
        }
        if too_many {
            // No part may name a pull twice.
            self.close()?;
            for pull in live {
                self.add(pull)?;
            }
        }
        if !self.part.pulls.is_empty() || self.parts.is_empty() {
            self.close()?;
        }
        Ok(())
    }

    fn add(&mut self, pull: &'a Pull) -> serde_json::Result<()> {
        let mut item = self.whole(pull)?;
        if !self.fits(item.size) && !self.part.pulls.is_empty() {
            self.close()?;
            // What the part before told need not be told again.
            item = self.whole(pull)?;
        }
        if !self.fits(item.size) {
            without_image(&mut item.pull);
            item = self.item(item.pull, None, None)?;
        }
        if pull.image.is_some() && item.image.is_none() {
            self.left_out += 1;
        }
        self.push(item)
    }

    /// The pull with its image, where the layers of that can be numbered.
    fn whole(&self, pull: &'a Pull) -> serde_json::Result<Item<'a>> {
        let mut wire = v1::ReportPull::from(pull);
        let image = pull.image.as_deref().filter(|image| {
            let meant = self.part.meant.get(&image.root);
            let at_odds = pull.root.as_ref().is_some_and(|root| *root != image.root);
            !at_odds
                && image.total().0 <= MAX_NUMBER
                && meant.is_none_or(|meant| same_layers(meant, image))
        });
        let Some(image) = image else {
            without_image(&mut wire);
            return self.item(wire, None, None);
        };
        // A source may say the image and nothing else of the root.
        wire.root_digest = Some(image.root.to_string());
        let tell = if self.part.meant.contains_key(&image.root) {
            None
        } else {
            let mark = mark(image);
            let earlier = self.parts.iter().rev();
            let known = earlier
                .map(|part| &part.images)
                .chain(self.told)
                .find_map(|marks| marks.get(&image.root));
            (known != Some(&mark)).then(|| (v1::ReportImage::from(image), mark))
        };
        self.item(wire, Some(image), tell)
    }

    fn item(
        &self,
        pull: v1::ReportPull,
        image: Option<&'a Image>,
        tell: Option<(v1::ReportImage, u64)>,
    ) -> serde_json::Result<Item<'a>> {
        let size = match (self.measured, &tell) {
            (false, _) => 0,
            (true, None) => length(&pull)?,
            (true, Some((told, _))) => length(&pull)? + length(told)?,
        };
        Ok(Item {
            pull,
            image,
            tell,
            size,
        })
    }

    fn fits(&self, size: usize) -> bool {
        let most = MAX_PULLS.min(MAX_IMAGES);
        !self.measured
            || (ENVELOPE + self.part.size + size <= MAX_BODY && self.part.pulls.len() < most)
    }

    fn push(&mut self, item: Item<'a>) -> serde_json::Result<()> {
        if !self.fits(item.size) && !self.part.pulls.is_empty() {
            self.close()?;
        }
        let part = &mut self.part;
        part.size += item.size;
        part.pulls.push(item.pull);
        if let Some(image) = item.image {
            part.meant.entry(&image.root).or_insert(image);
        }
        if let Some((told, mark)) = item.tell
            && let Some(image) = item.image
        {
            part.images.push(told);
            part.marks.insert(image.root.clone(), mark);
        }
        Ok(())
    }

    fn close(&mut self) -> serde_json::Result<()> {
        let part = std::mem::take(&mut self.part);
        let report = self.report;
        let sequence = self.sequence + self.parts.len() as u64;
        let full = report.full && self.parts.is_empty();
        let body = v1::AgentReport {
            schema_version: v1::SCHEMA_VERSION.to_owned(),
            node_name: report.node.to_string(),
            timestamp: report.now.node,
            sequence,
            full,
            agent: v1::AgentInfo {
                interval_ms: millis(report.next_within),
                ..self.who.agent.clone()
            },
            node: v1::NodeInfo {
                runtime_version: report.runtime.clone(),
                runtime_namespace: self.who.namespace.clone(),
                snapshotter: None,
            },
            images: part.images,
            pulls: part.pulls,
            dropped: self.dropped(),
        };
        self.parts.push(Part {
            sequence,
            full,
            json: serde_json::to_vec(&body)?,
            images: part.marks,
        });
        Ok(())
    }

    fn dropped(&self) -> v1::Dropped {
        let counters = &self.report.counters;
        let words = counters.anomalies.iter();
        let mut anomalies: BTreeMap<String, u64> = words
            .map(|(word, n)| (word.as_str().to_owned(), *n))
            .collect();
        if self.who.images_left_out > 0 {
            anomalies.insert(IMAGE_LEFT_OUT.to_owned(), self.who.images_left_out);
        }
        v1::Dropped {
            refused: counters.refused,
            evicted: counters.evicted,
            ends_lost: self.report.ends_lost,
            anomalies,
        }
    }
}

/// What is not told has no number: neither what the image weighs nor what its layers do.
fn without_image(pull: &mut v1::ReportPull) {
    pull.image = None;
    pull.layers = Vec::new();
    pull.to_extract_bytes = pull.to_extract_bytes.filter(|bytes| *bytes <= MAX_NUMBER);
    for bytes in [
        &mut pull.cached_bytes,
        &mut pull.downloaded_bytes,
        &mut pull.extracted_bytes,
    ] {
        *bytes = (*bytes).min(MAX_NUMBER);
    }
}

/// Whether a place among the layers means the same of both.
fn same_layers(a: &Image, b: &Image) -> bool {
    std::ptr::eq(a, b)
        || a.layers.len() == b.layers.len()
            && std::iter::zip(&a.layers, &b.layers)
                .all(|(a, b)| (&a.digest, a.size) == (&b.digest, b.size))
}

/// The same for two images of which the same is told.
fn mark(image: &Image) -> u64 {
    let mut hasher = DefaultHasher::new();
    image.manifests.hash(&mut hasher);
    image.platform.hash(&mut hasher);
    for layer in &image.layers {
        layer.digest.hash(&mut hasher);
        layer.size.0.hash(&mut hasher);
        layer.media_type.hash(&mut hasher);
        layer.created_by.hash(&mut hasher);
    }
    hasher.finish()
}

/// Of an item as JSON, and the comma behind it.
fn length(item: &impl Serialize) -> serde_json::Result<usize> {
    let mut length = Length(1);
    serde_json::to_writer(&mut length, item)?;
    Ok(length.0)
}

struct Length(usize);

impl io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(MAX_NUMBER)
}

#[cfg(test)]
mod tests;
