//! Builds the images of the script. Every layer is built only once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use pulltrace_testkit::image::{Image, Layer, Platform};
use pulltrace_testkit::kubernetes::Node;

use crate::script::{Content, LayerSpec, PullSpec};

/// The layers built so far. They are generated on read and so take little memory, and the script
/// has a finite number of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct ImageFactory {
    layers: Arc<Mutex<HashMap<String, Layer>>>,
}

/// A built image and the digests that faults refer to.
#[derive(Debug)]
pub(crate) struct BuiltImage {
    pub(crate) image: Image,
    /// The digests of the script's layers.
    pub(crate) digests: Vec<String>,
}

impl ImageFactory {
    /// Builds an image; takes up to a second for a large one.
    pub(crate) fn build(&self, pull: &PullSpec) -> BuiltImage {
        let layers: Vec<_> = pull.layers.iter().map(|piece| self.layer(piece)).collect();
        let digests = layers.iter().map(|layer| layer.digest().to_owned());
        let digests = digests.collect();
        let image = Image::builder().layers(layers).label("version", &pull.tag).build();
        let image = if pull.multi_arch {
            let piece = LayerSpec {
                name: format!("other-{}", pull.tag),
                content: Content::Random(9 << 20),
                rate: None,
            };
            let other = Image::builder().platform(Platform::foreign()).layer(&self.layer(&piece));
            Image::index().image(&image).attestation().image(&other.build()).attestation().build()
        } else {
            image
        };
        BuiltImage { image, digests }
    }

    /// Builds a runnable image with the same layers; its container exits at once or runs until it
    /// is stopped.
    pub(crate) fn build_runnable(&self, pull: &PullSpec, ends: bool) -> Image {
        let layers: Vec<_> = pull.layers.iter().map(|piece| self.layer(piece)).collect();
        if ends { Node::exiting_image(&layers) } else { Node::running_image(&layers) }
    }

    fn layer(&self, piece: &LayerSpec) -> Layer {
        let layers = || self.layers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(layer) = layers().get(&piece.name) {
            return layer.clone();
        }
        // Two threads may build the same layer concurrently; the results are equal.
        let layer = match piece.content {
            Content::Random(size) => Layer::lazy(&piece.name, size),
            Content::Files(count) => Layer::many_files(&piece.name, count, 700),
        };
        layers().insert(piece.name.clone(), layer.clone());
        layer
    }
}
