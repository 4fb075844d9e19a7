//! Conversion of containerd's messages to plain data, without interpreting them.

use std::collections::{BTreeMap, HashMap};

use containerd_client::services::v1 as api;
use containerd_client::{events, types};
use prost_types::{Any, Timestamp};
use pulltrace_core::NodeTime;

use super::super::input::{Event, ImageRecord, Ingest, Lease, Reply, Resource};

/// Converts an ingest; `None` if its times are missing, which containerd always sets.
pub(super) fn ingest(status: api::Status) -> Option<Ingest> {
    Some(Ingest {
        started_at: time(status.started_at)?,
        updated_at: time(status.updated_at)?,
        reference: status.r#ref,
        offset: status.offset,
        total: status.total,
    })
}

/// Converts a lease, without its resources; `None` if its time is missing, which containerd always
/// sets.
pub(super) fn lease(lease: api::Lease) -> Option<Lease> {
    Some(Lease {
        created_at: time(lease.created_at)?,
        id: lease.id,
        labels: labels(lease.labels),
        resources: None,
    })
}

pub(super) fn resource(resource: api::Resource) -> Resource {
    Resource { kind: resource.r#type, id: resource.id }
}

pub(super) fn info(info: api::Info) -> Option<Reply> {
    Some(Reply::Info {
        size: info.size,
        created_at: time(info.created_at)?,
        labels: labels(info.labels),
    })
}

pub(super) fn snapshot(info: &api::snapshots::Info) -> Option<Reply> {
    Some(Reply::Snapshot {
        created_at: time(info.created_at)?,
        committed: info.kind() == api::snapshots::Kind::Committed,
    })
}

/// Converts an image record; `None` if it has no target or no times.
pub(super) fn record(image: api::Image) -> Option<ImageRecord> {
    Some(ImageRecord {
        target: image.target?.digest,
        created_at: time(image.created_at)?,
        updated_at: time(image.updated_at)?,
        name: image.name,
    })
}

/// Converts an event; `None` if it is not relevant to pulls.
///
/// containerd sends the bare name of the type, other clients may add a prefix. Only the last
/// segment is compared.
pub(super) fn event(envelope: types::Envelope) -> Option<Event> {
    let Any { type_url, value } = envelope.event?;
    let kind = type_url.rsplit(['/', '.']).next()?;
    let typed = |package: &str| Any { type_url: format!("/{package}.{kind}"), value };
    let (core, images) = ("containerd.events", "containerd.services.images.v1");
    match kind {
        "ContentCreate" => {
            let events::ContentCreate { digest, size } = typed(core).to_msg().ok()?;
            Some(Event::ContentCreated { digest, size })
        }
        "SnapshotPrepare" => {
            let message: events::SnapshotPrepare = typed(core).to_msg().ok()?;
            Some(Event::SnapshotPrepared { key: message.key })
        }
        "SnapshotCommit" => {
            let message: events::SnapshotCommit = typed(core).to_msg().ok()?;
            Some(Event::SnapshotCommitted { key: message.key, name: message.name })
        }
        "SnapshotRemove" => {
            let message: events::SnapshotRemove = typed(core).to_msg().ok()?;
            Some(Event::SnapshotRemoved { key: message.key })
        }
        "ImageCreate" => {
            let message: api::ImageCreate = typed(images).to_msg().ok()?;
            Some(Event::ImageWritten { name: message.name, at: time(envelope.timestamp)? })
        }
        "ImageUpdate" => {
            let message: api::ImageUpdate = typed(images).to_msg().ok()?;
            Some(Event::ImageWritten { name: message.name, at: time(envelope.timestamp)? })
        }
        "ImageDelete" => {
            let message: api::ImageDelete = typed(images).to_msg().ok()?;
            Some(Event::ImageDeleted { name: message.name })
        }
        _ => None,
    }
}

fn time(stamp: Option<Timestamp>) -> Option<NodeTime> {
    // A valid timestamp is in the years 1 to 9999 (`google/protobuf/timestamp.proto`).
    let stamp = stamp.filter(|stamp| {
        (-62_135_596_800..253_402_300_800).contains(&stamp.seconds)
            && (0..1_000_000_000).contains(&stamp.nanos)
    })?;
    Some(NodeTime::from_unix(stamp.seconds, stamp.nanos))
}

fn labels(labels: HashMap<String, String>) -> BTreeMap<String, String> {
    labels.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(type_url: &str, any: Any) -> types::Envelope {
        types::Envelope {
            timestamp: Some(Timestamp { seconds: 7, nanos: 8 }),
            namespace: "k8s.io".into(),
            topic: "/x".into(),
            event: Some(Any { type_url: type_url.into(), value: any.value }),
        }
    }

    #[test]
    fn event_type_is_matched_by_last_segment() {
        let created =
            Any::from_msg(&api::ImageCreate { name: "a:1".into(), labels: HashMap::new() })
                .unwrap();
        let at = NodeTime::from_unix(7, 8);
        for url in [
            "containerd.services.images.v1.ImageCreate",
            "type.googleapis.com/containerd.services.images.v1.ImageCreate",
        ] {
            let read = event(envelope(url, created.clone()));
            assert_eq!(read, Some(Event::ImageWritten { name: "a:1".into(), at }));
        }
        let committed =
            events::SnapshotCommit { key: "k".into(), name: "n".into(), ..Default::default() };
        let read =
            event(envelope("containerd.events.SnapshotCommit", Any::from_msg(&committed).unwrap()));
        assert_eq!(read, Some(Event::SnapshotCommitted { key: "k".into(), name: "n".into() }));
        let content = events::ContentCreate { digest: "sha256:0".into(), size: -1 };
        let read =
            event(envelope("containerd.events.ContentCreate", Any::from_msg(&content).unwrap()));
        assert_eq!(read, Some(Event::ContentCreated { digest: "sha256:0".into(), size: -1 }));
    }

    #[test]
    fn unknown_and_malformed_events_are_skipped() {
        let any = Any { type_url: String::new(), value: vec![0xff; 40] };
        assert_eq!(event(envelope("containerd.events.TaskExit", any.clone())), None);
        assert_eq!(event(envelope("containerd.events.SnapshotCommit", any.clone())), None);
        assert_eq!(event(envelope("", any)), None);
        assert_eq!(event(types::Envelope::default()), None);
    }

    #[test]
    fn invalid_timestamp_is_rejected() {
        let whole = api::Status {
            started_at: Some(Timestamp { seconds: 1, nanos: 0 }),
            updated_at: Some(Timestamp { seconds: 2, nanos: 0 }),
            r#ref: "layer-sha256:0".into(),
            offset: -5,
            total: i64::MAX,
            expected: String::new(),
        };
        let read = ingest(whole.clone()).unwrap();
        assert_eq!((read.offset, read.total), (-5, i64::MAX), "not validated");
        assert_eq!(ingest(api::Status { started_at: None, ..whole.clone() }), None);
        let never = Some(Timestamp { seconds: i64::MAX, nanos: 0 });
        assert_eq!(ingest(api::Status { updated_at: never, ..whole }), None);
    }
}
