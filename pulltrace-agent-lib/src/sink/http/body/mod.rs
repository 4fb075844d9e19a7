//! Encodes a report as one or more JSON bodies that stay below the server's size limit. Pure.
//!
//! A report that is too large for one body is split without loss. The first part of a full report
//! contains all live pulls, because a receiver takes pulls missing from it as ended, and as many of
//! the latest ended pulls as fit. If the live pulls alone are too large, the first part contains
//! them without layers. The remaining parts are not full and follow immediately.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::time::Duration;

use pulltrace_core::wire::check::{MAX_IMAGES, MAX_NUMBER, MAX_PULLS};
use pulltrace_core::wire::v1;
use pulltrace_core::{Digest, Image, Pull};
use serde::Serialize;

use crate::sink::Report;

/// The largest uncompressed body; the server's default limit.
pub const MAX_BODY: usize = 1 << 20;

/// Space reserved for everything but pulls and images. Texts in it are short.
const ENVELOPE_RESERVE: usize = 16 << 10;

/// Name in `dropped.anomalies` for pulls sent without their image. Reasons: they do not fit into
/// one body, a size does not fit into a JSON number, or the part has another image with the same
/// root.
const IMAGE_LEFT_OUT: &str = "image_left_out";

/// When more images than this have been sent, all are forgotten and sent again.
const MAX_SENT_IMAGES: usize = 4_096;

/// The agent's identity, and the counter of omitted images.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) agent: v1::AgentInfo,
    pub(super) namespace: Option<String>,
    pub(super) images_left_out: u64,
}

/// An encoded body, and the images to remember once it is acknowledged.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) sequence: u64,
    pub(super) full: bool,
    pub(super) json: Vec<u8>,
    /// Fingerprints of the images in the body.
    images: BTreeMap<Digest, u64>,
}

/// The images that the server already has, with a fingerprint of their sent details.
#[derive(Debug, Default)]
pub(super) struct SentImages {
    epoch: String,
    fingerprints: BTreeMap<Digest, u64>,
}

impl SentImages {
    /// Records the images of a part that the server with this epoch accepted. A new epoch forgets
    /// those of the previous server instance.
    pub(super) fn on_ack(&mut self, part: Part, epoch: &str) {
        if part.full || self.epoch != epoch {
            epoch.clone_into(&mut self.epoch);
            self.fingerprints.clear();
        }
        if self.fingerprints.len() + part.images.len() > MAX_SENT_IMAGES {
            self.fingerprints.clear();
        }
        self.fingerprints.extend(part.images);
    }
}

/// Splits a report into bodies, in delivery order, numbered from `sequence`.
pub(super) fn split(
    report: &Report,
    identity: &mut Identity,
    sent_images: &SentImages,
    sequence: u64,
) -> serde_json::Result<Vec<Part>> {
    let split_once = |measured| {
        let mut cutter = Splitter::new(report, identity, sent_images, sequence, measured);
        cutter.run()?;
        Ok::<_, serde_json::Error>((cutter.omitted, cutter.parts))
    };
    // Usually one body fits everything; measuring each item is only necessary if it does not.
    let (mut omitted, mut parts) = split_once(false)?;
    if report.pulls.len() > MAX_PULLS || parts.iter().any(|part| part.json.len() > MAX_BODY) {
        (omitted, parts) = split_once(true)?;
    }
    identity.images_left_out += omitted;
    Ok(parts)
}

/// Fills one part after another.
struct Splitter<'a> {
    report: &'a Report,
    identity: &'a Identity,
    /// Images that the server already has; `None` for a full report, which contains all of its
    /// images.
    sent_images: Option<&'a BTreeMap<Digest, u64>>,
    sequence: u64,
    /// True if parts are closed when they reach a limit.
    limit_size: bool,
    parts: Vec<Part>,
    omitted: u64,
    current: OpenPart<'a>,
}

/// The part being filled.
#[derive(Default)]
struct OpenPart<'a> {
    size: usize,
    pulls: Vec<v1::ReportPull>,
    images: Vec<v1::ReportImage>,
    fingerprints: BTreeMap<Digest, u64>,
    /// The image that defines the layer indexes of each root in this part.
    images_by_root: BTreeMap<&'a Digest, &'a Image>,
}

/// An image that the server does not have.
struct NewImage {
    wire: v1::ReportImage,
    fingerprint: u64,
}

/// A pull, encoded for the current part.
struct PullItem<'a> {
    pull: v1::ReportPull,
    image: Option<&'a Image>,
    /// The image, if it must be sent along.
    new_image: Option<NewImage>,
    size: usize,
}

impl<'a> Splitter<'a> {
    fn new(
        report: &'a Report,
        identity: &'a Identity,
        told: &'a SentImages,
        sequence: u64,
        limit_size: bool,
    ) -> Self {
        Self {
            report,
            identity,
            sent_images: (!report.full).then_some(&told.fingerprints),
            sequence,
            limit_size,
            parts: Vec::new(),
            omitted: 0,
            current: OpenPart::default(),
        }
    }

    fn run(&mut self) -> serde_json::Result<()> {
        let pulls = self.report.pulls.iter().map(AsRef::as_ref);
        let (live, mut ended): (Vec<&Pull>, Vec<&Pull>) =
            pulls.partition(|pull| pull.outcome().is_none());
        ended.sort_by_key(|pull| std::cmp::Reverse(pull.ended_at));
        for pull in &live {
            self.add(pull)?;
        }
        let live_overflow = self.report.full && !self.parts.is_empty();
        if live_overflow {
            // The live pulls do not fit into the first part, which must contain all of them.
            (self.parts, self.current) = (Vec::new(), OpenPart::default());
            self.omitted = 0;
            for pull in &live {
                let mut brief = v1::ReportPull::from(*pull);
                strip_image(&mut brief);
                self.push(self.build_item(brief, None, None)?)?;
            }
        }
        for pull in ended {
            self.add(pull)?;
        }
        if live_overflow {
            // A part must not contain a pull twice.
            self.close()?;
            for pull in live {
                self.add(pull)?;
            }
        }
        if !self.current.pulls.is_empty() || self.parts.is_empty() {
            self.close()?;
        }
        Ok(())
    }

    fn add(&mut self, pull: &'a Pull) -> serde_json::Result<()> {
        let mut item = self.item_with_image(pull)?;
        if !self.fits(item.size) && !self.current.pulls.is_empty() {
            self.close()?;
            // The new part may already know images that the closed one contains.
            item = self.item_with_image(pull)?;
        }
        if !self.fits(item.size) {
            strip_image(&mut item.pull);
            item = self.build_item(item.pull, None, None)?;
        }
        if pull.image.is_some() && item.image.is_none() {
            self.omitted += 1;
        }
        self.push(item)
    }

    /// Encodes the pull with its image, unless its layers cannot be numbered in this part.
    fn item_with_image(&self, pull: &'a Pull) -> serde_json::Result<PullItem<'a>> {
        let mut wire = v1::ReportPull::from(pull);
        let image = pull.image.as_deref().filter(|image| {
            let meant = self.current.images_by_root.get(&image.root);
            let root_differs = pull.root.as_ref().is_some_and(|root| *root != image.root);
            !root_differs
                && image.total().0 <= MAX_NUMBER
                && meant.is_none_or(|meant| same_layers(meant, image))
        });
        let Some(image) = image else {
            strip_image(&mut wire);
            return self.build_item(wire, None, None);
        };
        // A source may report the image without the root.
        wire.root_digest = Some(image.root.to_string());
        let new_image = if self.current.images_by_root.contains_key(&image.root) {
            None
        } else {
            let fingerprint = fingerprint(image);
            let earlier = self.parts.iter().rev();
            let known = earlier
                .map(|part| &part.images)
                .chain(self.sent_images)
                .find_map(|marks| marks.get(&image.root));
            (known != Some(&fingerprint))
                .then(|| NewImage { wire: v1::ReportImage::from(image), fingerprint })
        };
        self.build_item(wire, Some(image), new_image)
    }

    fn build_item(
        &self,
        pull: v1::ReportPull,
        image: Option<&'a Image>,
        new_image: Option<NewImage>,
    ) -> serde_json::Result<PullItem<'a>> {
        let size = match (self.limit_size, &new_image) {
            (false, _) => 0,
            (true, None) => json_length(&pull)?,
            (true, Some(image)) => json_length(&pull)? + json_length(&image.wire)?,
        };
        Ok(PullItem { pull, image, new_image, size })
    }

    fn fits(&self, size: usize) -> bool {
        let most = MAX_PULLS.min(MAX_IMAGES);
        !self.limit_size
            || (ENVELOPE_RESERVE + self.current.size + size <= MAX_BODY
                && self.current.pulls.len() < most)
    }

    fn push(&mut self, item: PullItem<'a>) -> serde_json::Result<()> {
        if !self.fits(item.size) && !self.current.pulls.is_empty() {
            self.close()?;
        }
        let part = &mut self.current;
        part.size += item.size;
        part.pulls.push(item.pull);
        if let Some(image) = item.image {
            part.images_by_root.entry(&image.root).or_insert(image);
        }
        if let Some(new_image) = item.new_image
            && let Some(image) = item.image
        {
            part.images.push(new_image.wire);
            part.fingerprints.insert(image.root.clone(), new_image.fingerprint);
        }
        Ok(())
    }

    fn close(&mut self) -> serde_json::Result<()> {
        let part = std::mem::take(&mut self.current);
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
                ..self.identity.agent.clone()
            },
            node: v1::NodeInfo {
                runtime_version: report.runtime.clone(),
                runtime_namespace: self.identity.namespace.clone(),
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
            images: part.fingerprints,
        });
        Ok(())
    }

    fn dropped(&self) -> v1::Dropped {
        let counters = &self.report.counters;
        let words = counters.anomalies.iter();
        let mut anomalies: BTreeMap<String, u64> =
            words.map(|(word, n)| (word.as_str().to_owned(), *n)).collect();
        if self.identity.images_left_out > 0 {
            anomalies.insert(IMAGE_LEFT_OUT.to_owned(), self.identity.images_left_out);
        }
        v1::Dropped {
            refused: counters.refused,
            evicted: counters.evicted,
            ends_lost: self.report.ends_lost,
            anomalies,
        }
    }
}

/// Removes the image and the layers, and limits the sizes to valid JSON numbers.
fn strip_image(pull: &mut v1::ReportPull) {
    pull.image = None;
    pull.layers = Vec::new();
    pull.to_extract_bytes = pull.to_extract_bytes.filter(|bytes| *bytes <= MAX_NUMBER);
    for bytes in [&mut pull.cached_bytes, &mut pull.downloaded_bytes, &mut pull.extracted_bytes] {
        *bytes = (*bytes).min(MAX_NUMBER);
    }
}

/// Returns whether layer indexes mean the same layers in both images.
fn same_layers(a: &Image, b: &Image) -> bool {
    std::ptr::eq(a, b)
        || a.layers.len() == b.layers.len()
            && std::iter::zip(&a.layers, &b.layers)
                .all(|(a, b)| (&a.digest, a.size) == (&b.digest, b.size))
}

/// Returns a hash of all image details that a report contains.
fn fingerprint(image: &Image) -> u64 {
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

/// Returns the JSON length of an item, including a comma.
fn json_length(item: &impl Serialize) -> serde_json::Result<usize> {
    let mut length = ByteCounter(1);
    serde_json::to_writer(&mut length, item)?;
    Ok(length.0)
}

struct ByteCounter(usize);

impl io::Write for ByteCounter {
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
