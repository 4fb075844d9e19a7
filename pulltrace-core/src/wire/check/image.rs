//! Checks the immutable data of an image.

use std::sync::Arc;

use super::error::ReportError;
use super::limits::{MAX_NAMES, check_count, check_number, check_text, check_unique, parse_name};
use crate::image::{Compression, Image, ImageLayer, MAX_LAYERS};
use crate::unit::Bytes;
use crate::wire::v1;

pub(super) fn check_image(reported: v1::ReportImage) -> Result<Arc<Image>, ReportError> {
    check_count("images.layers", reported.layers.len(), MAX_LAYERS)?;
    check_count("images.manifestDigests", reported.manifest_digests.len(), MAX_NAMES)?;
    check_text("images.platform", reported.platform.as_ref())?;
    let manifests = reported.manifest_digests.iter();
    let manifests = manifests.map(|digest| parse_name("images.manifestDigests", digest));
    let image = Image {
        root: parse_name("images.rootDigest", &reported.root_digest)?,
        manifests: manifests.collect::<Result<_, _>>()?,
        platform: reported.platform,
        layers: reported.layers.into_iter().map(check_layer).collect::<Result<_, _>>()?,
    };
    check_unique(image.layers.iter().map(|layer| &layer.digest))?;
    check_number("images.layers.size", image.total().0)?;
    Ok(Arc::new(image))
}

fn check_layer(reported: v1::ReportImageLayer) -> Result<ImageLayer, ReportError> {
    check_text("images.layers.mediaType", Some(&reported.media_type))?;
    check_text("images.layers.createdBy", reported.created_by.as_ref())?;
    Ok(ImageLayer {
        digest: parse_name("images.layers.digest", &reported.digest)?,
        size: Bytes(check_number("images.layers.size", reported.size)?),
        // Only agents need chain ids, to match snapshots to layers.
        chains: Vec::new(),
        compression: Compression::from_media_type(&reported.media_type),
        media_type: reported.media_type,
        created_by: reported.created_by,
    })
}
