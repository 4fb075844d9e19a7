//! Assembles layers into an image: config, manifest, index, and the image archive.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::blob::Blob;
use super::format::digest;
use super::layer::Layer;
use super::manifest::{Descriptor, Image, LayerInfo, Manifest, Platform};
use super::media_type;

/// The build time of all images, fixed so that digests are reproducible.
const CREATED: &str = "2024-01-01T00:00:00Z";

impl Image {
    /// Builds an image, by default for this machine's platform.
    #[must_use]
    pub fn builder() -> ImageBuilder {
        ImageBuilder::new()
    }

    /// Builds an index.
    #[must_use]
    pub fn index() -> IndexBuilder {
        IndexBuilder::new()
    }

    /// Writes the image, named `name`, as an OCI layout in a tar file for `ctr images import`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_archive(&self, name: &str, file: &Path) -> io::Result<()> {
        write_archive(self, name, file)
    }
}

/// Builds one image. The calls of [`ImageBuilder::layer`] add layers from the lowest to the
/// highest.
#[derive(Debug, Clone)]
pub struct ImageBuilder {
    platform: Platform,
    layers: Vec<Layer>,
    labels: BTreeMap<String, String>,
    entrypoint: Vec<String>,
}

impl ImageBuilder {
    fn new() -> Self {
        Self {
            platform: Platform::host(),
            layers: Vec::new(),
            labels: BTreeMap::new(),
            entrypoint: vec!["/app".into()],
        }
    }

    /// Adds a layer on top.
    #[must_use]
    pub fn layer(mut self, layer: &Layer) -> Self {
        self.layers.push(layer.clone());
        self
    }

    /// Adds layers on top, lowest first.
    #[must_use]
    pub fn layers(mut self, layers: impl IntoIterator<Item = Layer>) -> Self {
        self.layers.extend(layers);
        self
    }

    /// Sets a label in the config, which changes the config's digest but not the layers.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.into(), value.into());
        self
    }

    /// Sets the command that a container runs.
    #[must_use]
    pub fn entrypoint(mut self, command: &[&str]) -> Self {
        self.entrypoint = command.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// Sets the platform; the default is that of this machine.
    #[must_use]
    pub fn platform(mut self, platform: Platform) -> Self {
        self.platform = platform;
        self
    }

    /// Builds the image.
    #[must_use]
    pub fn build(self) -> Image {
        let layers = layer_infos(&self.layers);
        let diff_ids: Vec<_> = layers.iter().map(|layer| &layer.diff_id).collect();
        let history: Vec<_> = self
            .layers
            .iter()
            .map(|layer| json!({ "created": CREATED, "created_by": format!("COPY {} /", layer.name) }))
            .collect();
        let config = to_json_bytes(&json!({
            "created": CREATED,
            "architecture": self.platform.architecture,
            "os": self.platform.os,
            "config": { "Entrypoint": self.entrypoint, "Labels": self.labels },
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
            "history": history,
        }));
        let config_descriptor = bytes_descriptor(media_type::CONFIG, &config);
        let layer_descriptors: Vec<_> = layers
            .iter()
            .zip(&self.layers)
            .map(|(info, layer)| descriptor_json(&info.descriptor, &layer.annotations))
            .collect();
        let manifest = to_json_bytes(&json!({
            "schemaVersion": 2,
            "mediaType": media_type::MANIFEST,
            "config": descriptor_json(&config_descriptor, &BTreeMap::new()),
            "layers": layer_descriptors,
        }));
        let root = bytes_descriptor(media_type::MANIFEST, &manifest);

        let mut blobs: BTreeMap<_, _> =
            self.layers.into_iter().map(|layer| (layer.digest, layer.blob)).collect();
        blobs.insert(config_descriptor.digest.clone(), Blob::Bytes(config));
        Image {
            documents: BTreeMap::from([(root.digest.clone(), (root.media_type.clone(), manifest))]),
            manifests: vec![Manifest {
                descriptor: root.clone(),
                platform: self.platform,
                config: config_descriptor,
                layers,
                attestation: false,
            }],
            root,
            blobs,
        }
    }
}

/// Builds an index of images, in the order in which they are added.
#[derive(Debug, Clone, Default)]
pub struct IndexBuilder {
    manifests: Vec<Manifest>,
    entries: Vec<Value>,
    documents: BTreeMap<String, (String, Bytes)>,
    blobs: BTreeMap<String, Blob>,
}

impl IndexBuilder {
    fn new() -> Self {
        Self::default()
    }

    /// Adds all manifests of an image, each for its own platform.
    #[must_use]
    pub fn image(mut self, image: &Image) -> Self {
        for manifest in &image.manifests {
            self.push_entry(manifest.clone(), &BTreeMap::new());
        }
        // Without the image's own index, if it has one.
        self.documents.extend(
            image
                .documents
                .iter()
                .filter(|(_, (kind, _))| kind == media_type::MANIFEST)
                .map(|(digest, document)| (digest.clone(), document.clone())),
        );
        self.blobs.extend(image.blobs.iter().map(|(d, b)| (d.clone(), b.clone())));
        self
    }

    /// Adds an attestation, in BuildKit's format, about the manifest that was added last.
    ///
    /// # Panics
    /// When no image was added before.
    #[must_use]
    pub fn attestation(mut self) -> Self {
        let subject = self
            .manifests
            .last()
            .expect("an attestation requires a manifest")
            .descriptor
            .digest
            .clone();
        let statement = to_json_bytes(&json!({
            "_type": "https://in-toto.io/Statement/v0.1",
            "predicateType": "https://slsa.dev/provenance/v0.2",
            "subject": [{ "digest": { "sha256": subject.trim_start_matches("sha256:") } }],
        }));
        let statement_descriptor = bytes_descriptor(media_type::IN_TOTO, &statement);
        let config = to_json_bytes(&json!({
            "architecture": "unknown",
            "os": "unknown",
            "config": {},
            "rootfs": { "type": "layers", "diff_ids": [statement_descriptor.digest] },
        }));
        let config_descriptor = bytes_descriptor(media_type::CONFIG, &config);
        let none = BTreeMap::new();
        let predicate = BTreeMap::from([(
            "in-toto.io/predicate-type".to_owned(),
            "https://slsa.dev/provenance/v0.2".to_owned(),
        )]);
        let manifest = to_json_bytes(&json!({
            "schemaVersion": 2,
            "mediaType": media_type::MANIFEST,
            "config": descriptor_json(&config_descriptor, &none),
            "layers": [descriptor_json(&statement_descriptor, &predicate)],
        }));
        let descriptor = bytes_descriptor(media_type::MANIFEST, &manifest);

        self.documents.insert(descriptor.digest.clone(), (descriptor.media_type.clone(), manifest));
        self.blobs.insert(statement_descriptor.digest, Blob::Bytes(statement));
        self.blobs.insert(config_descriptor.digest.clone(), Blob::Bytes(config));
        let annotations = BTreeMap::from([
            ("vnd.docker.reference.type".to_owned(), "attestation-manifest".to_owned()),
            ("vnd.docker.reference.digest".to_owned(), subject),
        ]);
        self.push_entry(
            Manifest {
                descriptor,
                platform: Platform::unknown(),
                config: config_descriptor,
                layers: Vec::new(),
                attestation: true,
            },
            &annotations,
        );
        self
    }

    /// Builds the index.
    #[must_use]
    pub fn build(mut self) -> Image {
        let index = to_json_bytes(&json!({
            "schemaVersion": 2,
            "mediaType": media_type::INDEX,
            "manifests": self.entries,
        }));
        let root = bytes_descriptor(media_type::INDEX, &index);
        self.documents.insert(root.digest.clone(), (root.media_type.clone(), index));
        Image { root, manifests: self.manifests, documents: self.documents, blobs: self.blobs }
    }

    fn push_entry(&mut self, manifest: Manifest, annotations: &BTreeMap<String, String>) {
        let mut entry = descriptor_json(&manifest.descriptor, annotations);
        entry["platform"] = json!({
            "os": manifest.platform.os,
            "architecture": manifest.platform.architecture,
        });
        self.entries.push(entry);
        self.manifests.push(manifest);
    }
}

fn to_json_bytes(value: &Value) -> Bytes {
    serde_json::to_vec(value).expect("serializing JSON values cannot fail").into()
}

fn bytes_descriptor(media_type: &str, data: &[u8]) -> Descriptor {
    Descriptor { media_type: media_type.into(), digest: digest(data), size: data.len() as u64 }
}

fn descriptor_json(descriptor: &Descriptor, annotations: &BTreeMap<String, String>) -> Value {
    let mut value = Map::new();
    value.insert("mediaType".into(), json!(descriptor.media_type));
    value.insert("digest".into(), json!(descriptor.digest));
    value.insert("size".into(), json!(descriptor.size));
    if !annotations.is_empty() {
        value.insert("annotations".into(), json!(annotations));
    }
    value.into()
}

fn layer_infos(layers: &[Layer]) -> Vec<LayerInfo> {
    let mut below: Option<String> = None;
    layers
        .iter()
        .map(|layer| {
            let chain_id = match &below {
                None => layer.diff_id.clone(),
                Some(parent) => digest(format!("{parent} {}", layer.diff_id).as_bytes()),
            };
            below = Some(chain_id.clone());
            LayerInfo {
                descriptor: Descriptor {
                    media_type: layer.media_type.into(),
                    digest: layer.digest.clone(),
                    size: layer.blob.len(),
                },
                diff_id: layer.diff_id.clone(),
                chain_id,
            }
        })
        .collect()
}

fn write_archive(image: &Image, name: &str, file: &Path) -> io::Result<()> {
    let mut root = descriptor_json(
        &image.root,
        &BTreeMap::from([("io.containerd.image.name".to_owned(), name.to_owned())]),
    );
    if let Some(manifest) = image.manifests.first().filter(|_| image.manifests.len() == 1) {
        root["platform"] = json!({
            "os": manifest.platform.os,
            "architecture": manifest.platform.architecture,
        });
    }
    let index = to_json_bytes(&json!({ "schemaVersion": 2, "manifests": [root] }));
    let layout = to_json_bytes(&json!({ "imageLayoutVersion": "1.0.0" }));

    let mut tar = tar::Builder::new(File::create(file)?);
    let mut add = |path: String, len: u64, content: &mut dyn Read| {
        let mut header = tar::Header::new_gnu();
        header.set_size(len);
        header.set_mode(0o644);
        header.set_mtime(0);
        tar.append_data(&mut header, path, content)
    };
    for (path, data) in [("oci-layout", &layout), ("index.json", &index)] {
        add(path.into(), data.len() as u64, &mut &data[..])?;
    }
    let path = |digest: &str| format!("blobs/{}", digest.replace(':', "/"));
    for (digest, (_, data)) in &image.documents {
        add(path(digest), data.len() as u64, &mut &data[..])?;
    }
    for (digest, blob) in &image.blobs {
        add(path(digest), blob.len(), &mut BlobReader { blob, offset: 0 })?;
    }
    tar.into_inner()?.sync_all()
}

/// Reads a blob sequentially.
struct BlobReader<'a> {
    blob: &'a Blob,
    offset: u64,
}

impl Read for BlobReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let part = self.blob.read(self.offset, buffer.len());
        buffer[..part.len()].copy_from_slice(&part);
        self.offset += part.len() as u64;
        Ok(part.len())
    }
}
