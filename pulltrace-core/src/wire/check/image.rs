//! What never changes of an image.

use std::sync::Arc;

use super::ReportError;
use super::bound::{MAX_NAMES, count, name, number, text, unique};
use crate::image::{Compression, Image, ImageLayer, MAX_LAYERS};
use crate::unit::Bytes;
use crate::wire::v1;

pub(super) fn image(told: v1::ReportImage) -> Result<Arc<Image>, ReportError> {
    count("images.layers", told.layers.len(), MAX_LAYERS)?;
    count(
        "images.manifestDigests",
        told.manifest_digests.len(),
        MAX_NAMES,
    )?;
    text("images.platform", told.platform.as_ref())?;
    let manifests = told.manifest_digests.iter();
    let manifests = manifests.map(|digest| name("images.manifestDigests", digest));
    let image = Image {
        root: name("images.rootDigest", &told.root_digest)?,
        manifests: manifests.collect::<Result<_, _>>()?,
        platform: told.platform,
        layers: told
            .layers
            .into_iter()
            .map(layer)
            .collect::<Result<_, _>>()?,
    };
    unique(image.layers.iter().map(|layer| &layer.digest))?;
    number("images.layers.size", image.total().0)?;
    Ok(Arc::new(image))
}

fn layer(told: v1::ReportImageLayer) -> Result<ImageLayer, ReportError> {
    text("images.layers.mediaType", Some(&told.media_type))?;
    text("images.layers.createdBy", told.created_by.as_ref())?;
    Ok(ImageLayer {
        digest: name("images.layers.digest", &told.digest)?,
        size: Bytes(number("images.layers.size", told.size)?),
        // Only an agent needs them, to know what its node unpacks.
        chains: Vec::new(),
        compression: Compression::of(&told.media_type),
        media_type: told.media_type,
        created_by: told.created_by,
    })
}
