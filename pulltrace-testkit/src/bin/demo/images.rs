//! Makes the images of the script. A layer is made once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use pulltrace_testkit::image::{Image, Layer, Platform};
use pulltrace_testkit::kubernetes::Node;

use crate::script::{Content, Piece, Pull};

/// The layers that were made so far. They are made when they are read, so
/// what is kept of one is little; and the script's list of names ends.
#[derive(Debug, Clone, Default)]
pub(crate) struct Library {
    layers: Arc<Mutex<HashMap<String, Layer>>>,
}

/// An image, and what of its layers the registry must know.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) image: Image,
    /// The digests of the script's layers.
    pub(crate) digests: Vec<String>,
}

impl Library {
    /// Makes an image; takes up to a second for a large one.
    pub(crate) fn make(&self, pull: &Pull) -> Made {
        let layers: Vec<_> = pull.layers.iter().map(|piece| self.layer(piece)).collect();
        let digests = layers.iter().map(|layer| layer.digest().to_owned());
        let digests = digests.collect();
        let image = Image::builder()
            .layers(layers)
            .label("version", &pull.tag)
            .build();
        let image = if pull.multi_arch {
            let piece = Piece {
                name: format!("other-{}", pull.tag),
                content: Content::Random(9 << 20),
                rate: None,
            };
            let other = Image::builder()
                .platform(Platform::foreign())
                .layer(&self.layer(&piece));
            Image::index()
                .image(&image)
                .attestation()
                .image(&other.build())
                .attestation()
                .build()
        } else {
            image
        };
        Made { image, digests }
    }

    /// Makes an image of the same layers that can be started: what runs of it ends at once, or never.
    pub(crate) fn make_to_run(&self, pull: &Pull, ends: bool) -> Image {
        let layers: Vec<_> = pull.layers.iter().map(|piece| self.layer(piece)).collect();
        if ends {
            Node::image_that_ends(&layers)
        } else {
            Node::image(&layers)
        }
    }

    fn layer(&self, piece: &Piece) -> Layer {
        let layers = || self.layers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(layer) = layers().get(&piece.name) {
            return layer.clone();
        }
        // Two that need the same one at once both make it; it is the same.
        let layer = match piece.content {
            Content::Random(size) => Layer::made_when_read(&piece.name, size),
            Content::Files(count) => Layer::files(&piece.name, count, 700),
        };
        layers().insert(piece.name.clone(), layer.clone());
        layer
    }
}
