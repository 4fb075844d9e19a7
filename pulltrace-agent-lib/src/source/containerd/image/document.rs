//! Parsing of OCI and Docker documents, with limits on everything. The serde types are private to
//! this module.

use std::fmt;
use std::marker::PhantomData;

use pulltrace_core::image::MAX_LAYERS;
use pulltrace_core::{Bytes, Digest};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};

use super::history;
use super::{Config, Document, Entry, ImageError, Index, MAX_DOCUMENT, Manifest, ManifestLayer};

/// The maximum number of index entries.
pub(super) const MAX_ENTRIES: usize = 1_000;

/// The maximum number of history entries. The history of an image with more is ignored.
const MAX_HISTORY: usize = 4 * MAX_LAYERS;

/// The maximum length of a media type in bytes. RFC 6838 allows 127 for each of its halves.
const MAX_MEDIA_TYPE: usize = 255;

/// The members that determine the type of a document.
#[derive(Deserialize)]
struct DocumentShape {
    manifests: Option<IgnoredAny>,
    config: Option<IgnoredAny>,
    layers: Option<IgnoredAny>,
    rootfs: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct RawIndex {
    manifests: Bounded<RawDescriptor, MAX_ENTRIES>,
}

#[derive(Deserialize)]
struct RawManifest {
    config: RawDescriptor,
    layers: Bounded<RawDescriptor, MAX_LAYERS>,
}

#[derive(Deserialize)]
struct RawConfig {
    rootfs: RawRootfs,
    os: Option<String>,
    architecture: Option<String>,
    variant: Option<String>,
    history: Option<Bounded<RawStep, MAX_HISTORY>>,
}

#[derive(Deserialize)]
struct RawRootfs {
    diff_ids: Option<Bounded<String, MAX_LAYERS>>,
}

#[derive(Deserialize)]
struct RawStep {
    created_by: Option<String>,
    empty_layer: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDescriptor {
    media_type: Option<String>,
    digest: Option<String>,
    size: Option<serde_json::Number>,
    platform: Option<RawPlatform>,
    annotations: Option<RawAnnotations>,
}

#[derive(Deserialize)]
struct RawPlatform {
    os: Option<String>,
    architecture: Option<String>,
    variant: Option<String>,
}

#[derive(Deserialize)]
struct RawAnnotations {
    #[serde(rename = "vnd.docker.reference.type")]
    reference_type: Option<String>,
}

/// A list that stores at most `N` items but counts all of them.
struct Bounded<T, const N: usize> {
    items: Vec<T>,
    count: usize,
}

impl<'de, T: Deserialize<'de>, const N: usize> Deserialize<'de> for Bounded<T, N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items<T, const N: usize>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>, const N: usize> Visitor<'de> for Items<T, N> {
            type Value = Bounded<T, N>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while items.len() < N {
                    let Some(item) = list.next_element()? else {
                        let count = items.len();
                        return Ok(Bounded { items, count });
                    };
                    items.push(item);
                }
                let mut count = N;
                while list.next_element::<IgnoredAny>()?.is_some() {
                    count += 1;
                }
                Ok(Bounded { items, count })
            }
        }

        deserializer.deserialize_seq(Items(PhantomData))
    }
}

impl<T, const N: usize> Bounded<T, N> {
    fn into_items(self, what: &'static str) -> Result<Vec<T>, ImageError> {
        if self.count > N {
            return Err(ImageError::TooMany { what, count: self.count, limit: N });
        }
        Ok(self.items)
    }
}

/// Parses a document. Its type is detected from its content, because the content store keeps no
/// media type.
///
/// # Errors
/// Returns an error if the document is of another type or invalid.
pub fn parse_document(text: &str) -> Result<Document, ImageError> {
    if text.len() > MAX_DOCUMENT {
        return Err(ImageError::TooLong(text.len()));
    }
    // serde would also accept an array.
    if !text.trim_start().starts_with('{') {
        return Err(ImageError::Json { line: 1, column: 1 });
    }
    let shape: DocumentShape = parse_json(text)?;
    if shape.manifests.is_some() {
        parse_json(text).and_then(parse_index).map(Document::Index)
    } else if shape.config.is_some() && shape.layers.is_some() {
        parse_json(text).and_then(parse_manifest).map(Document::Manifest)
    } else if shape.rootfs.is_some() {
        parse_json(text).and_then(parse_config).map(Document::Config)
    } else {
        Err(ImageError::UnknownDocument)
    }
}

fn parse_json<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, ImageError> {
    serde_json::from_str(text).map_err(|e| ImageError::Json { line: e.line(), column: e.column() })
}

fn parse_index(raw: RawIndex) -> Result<Index, ImageError> {
    let entries = raw.manifests.into_items("index entries")?;
    let entries = entries.into_iter().map(|raw| {
        let attestation = raw
            .annotations
            .and_then(|annotations| annotations.reference_type)
            .is_some_and(|kind| kind == "attestation-manifest");
        let unknown = raw.platform.as_ref().is_some_and(|p| p.os.as_deref() == Some("unknown"));
        let platform = raw.platform.and_then(|p| {
            format_platform(p.os.as_deref(), p.architecture.as_deref(), p.variant.as_deref())
        });
        Ok(Entry {
            digest: parse_digest(raw.digest.as_deref())?,
            platform,
            is_image: !attestation && !unknown,
        })
    });
    Ok(Index { entries: entries.collect::<Result<_, _>>()? })
}

fn parse_manifest(raw: RawManifest) -> Result<Manifest, ImageError> {
    let layers = raw.layers.into_items("layers")?.into_iter().map(|raw| {
        Ok(ManifestLayer {
            digest: parse_digest(raw.digest.as_deref())?,
            size: parse_size(raw.size)?,
            media_type: sanitize_media_type(raw.media_type.unwrap_or_default()),
        })
    });
    Ok(Manifest {
        config: parse_digest(raw.config.digest.as_deref())?,
        layers: layers.collect::<Result<_, _>>()?,
    })
}

fn parse_config(raw: RawConfig) -> Result<Config, ImageError> {
    let diff_ids = raw.rootfs.diff_ids.map_or(Ok(Vec::new()), |ids| ids.into_items("diff ids"))?;
    let diff_ids =
        diff_ids.iter().map(|text| parse_digest(Some(text))).collect::<Result<Vec<_>, _>>()?;
    // Steps that cannot be mapped to layers one to one are ignored.
    let mut steps: Vec<Option<String>> = match raw.history {
        Some(history) if history.count <= MAX_HISTORY => history
            .items
            .into_iter()
            .filter(|step| !step.empty_layer.unwrap_or(false))
            .map(|step| step.created_by.and_then(|text| history::clean_step(&text)))
            .collect(),
        _ => Vec::new(),
    };
    if steps.len() != diff_ids.len() {
        steps = vec![None; diff_ids.len()];
    }
    Ok(Config {
        platform: format_platform(
            raw.os.as_deref(),
            raw.architecture.as_deref(),
            raw.variant.as_deref(),
        ),
        diff_ids,
        created_by: steps,
    })
}

fn parse_digest(text: Option<&str>) -> Result<Digest, ImageError> {
    text.unwrap_or_default().parse().map_err(ImageError::Digest)
}

fn parse_size(number: Option<serde_json::Number>) -> Result<Bytes, ImageError> {
    let number = number.ok_or(ImageError::NoSize)?;
    let size = number.as_i64().ok_or_else(|| {
        // An integer that does not fit, or a number with a fraction or an exponent.
        ImageError::Size(number.to_string().chars().take(32).collect())
    })?;
    u64::try_from(size).map(Bytes).map_err(|_| ImageError::Size(size.to_string()))
}

fn sanitize_media_type(media_type: String) -> String {
    if media_type.len() <= MAX_MEDIA_TYPE && media_type.bytes().all(|b| b.is_ascii_graphic()) {
        media_type
    } else {
        String::new()
    }
}

/// Formats `linux/arm/v7`; `None` if a part is missing or invalid.
fn format_platform(
    os: Option<&str>,
    architecture: Option<&str>,
    variant: Option<&str>,
) -> Option<String> {
    let word = |text: &str| {
        text.len() <= 32
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    let os = os.filter(|os| !os.is_empty() && *os != "unknown" && word(os))?;
    let architecture = architecture.filter(|a| !a.is_empty() && word(a))?;
    let variant = variant.filter(|v| !v.is_empty() && word(v));
    // containerd treats these spellings of a platform as equal.
    let variant = match (architecture, variant) {
        ("arm64", Some("v8" | "8")) | ("amd64", Some("v1")) => None,
        ("arm", None) => Some("v7"),
        (_, variant) => variant,
    };
    Some(match variant {
        Some(variant) => format!("{os}/{architecture}/{variant}"),
        None => format!("{os}/{architecture}"),
    })
}
