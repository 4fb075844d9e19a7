//! A simulated containerd with a tracker and its table. Tests set its content directly, and it
//! answers the tracker's queries from it.

use std::collections::BTreeMap;
use std::time::Duration;

use pulltrace_core::{Change, ChangeKind, Digest, Limits, Mono, NodeTime, Now, Pull, PullTable};

use super::super::super::input::{
    Answer, Event, ImageRecord, Ingest, Input, Lease, Poll, Query, Reply, Resource, ServerInfo,
};
use super::super::{Tracker, is_pull_lease};

pub(super) const SNAPSHOTTER: &str = "overlayfs";

pub(super) struct World {
    pub(super) tracker: Tracker,
    pub(super) table: PullTable,
    pub(super) now: Now,
    pub(super) changes: Vec<Change>,
    leases: BTreeMap<String, Lease>,
    ingests: BTreeMap<String, Ingest>,
    blobs: BTreeMap<String, (NodeTime, i64, BTreeMap<String, String>, String)>,
    snapshots: BTreeMap<String, (NodeTime, bool)>,
    usage: BTreeMap<String, i64>,
    records: BTreeMap<String, ImageRecord>,
    /// Number of the tracker's queries; tests may reset it.
    pub(super) queries: usize,
}

/// A test image: its digests and documents.
#[derive(Clone)]
pub(super) struct ImageFixture {
    pub(super) root: String,
    pub(super) manifest: String,
    pub(super) config: String,
    pub(super) layers: Vec<(String, i64)>,
    pub(super) chains: Vec<String>,
    pub(super) documents: BTreeMap<String, String>,
}

/// Returns a digest that spells the word in hex, for readable tests.
pub(super) fn digest(word: &str) -> String {
    let hex: String = word.bytes().map(|b| format!("{b:02x}")).collect();
    format!("sha256:{hex:0>64}")
}

/// Creates an image from the word and size of each layer. Diff ids are derived from the words.
pub(super) fn image_fixture(name: &str, layers: &[(&str, i64)]) -> ImageFixture {
    let config = digest(&format!("{name}-c"));
    let manifest = digest(&format!("{name}-m"));
    let diff: Vec<String> =
        layers.iter().map(|(word, _)| format!("\"{}\"", digest(&format!("{word}.d")))).collect();
    let config_text = format!(
        r#"{{"os":"linux","architecture":"amd64","rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
        diff.join(",")
    );
    let list: Vec<String> = layers
        .iter()
        .map(|(word, size)| {
            format!(
                r#"{{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"{}","size":{size}}}"#,
                digest(word)
            )
        })
        .collect();
    let manifest_text = format!(
        r#"{{"schemaVersion":2,"config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config}","size":7}},"layers":[{}]}}"#,
        list.join(",")
    );
    let super::super::super::image::Document::Config(read) =
        super::super::super::image::parse_document(&config_text).unwrap()
    else {
        panic!("expected a config")
    };
    let chains = super::super::super::image::config_chain_ids(&read)
        .iter()
        .map(ToString::to_string)
        .collect();
    ImageFixture {
        root: manifest.clone(),
        manifest: manifest.clone(),
        config: config.clone(),
        layers: layers.iter().map(|(word, size)| (digest(word), *size)).collect(),
        chains,
        documents: BTreeMap::from([(manifest, manifest_text), (config, config_text)]),
    }
}

impl World {
    pub(super) fn new(version: &str) -> Self {
        let start = NodeTime::from_unix(1_700_000_000, 0);
        let mut world = Self {
            tracker: Tracker::new("node-1".parse().unwrap(), "k8s.io".parse().unwrap()),
            table: PullTable::new(Limits::default()),
            now: Now { mono: Mono::default(), node: start },
            changes: Vec::new(),
            leases: BTreeMap::new(),
            ingests: BTreeMap::new(),
            blobs: BTreeMap::new(),
            snapshots: BTreeMap::new(),
            usage: BTreeMap::new(),
            records: BTreeMap::new(),
            queries: 0,
        };
        world.connect(version);
        world
    }

    /// Connects to a containerd that has just started.
    pub(super) fn connect(&mut self, version: &str) {
        let started_at = Some(self.now.node);
        self.advance(1);
        self.feed(Input::Connected(ServerInfo { version: version.into(), started_at }));
    }

    pub(super) fn advance(&mut self, milliseconds: u64) {
        self.now = self.now.plus(Duration::from_millis(milliseconds));
    }

    /// Feeds an input and the answers to all resulting queries, and applies the output to the
    /// table.
    pub(super) fn feed(&mut self, input: Input) {
        let mut inputs = vec![input];
        for round in 0.. {
            assert!(round < 40, "too many rounds of queries");
            let mut queries = Vec::new();
            for input in inputs {
                let step = self.tracker.step(&input, self.now);
                step.anomalies.into_iter().for_each(|anomaly| self.table.record_anomaly(anomaly));
                let changes = self.table.apply(&step.observations, self.now);
                self.changes.extend(changes);
                queries.extend(step.queries);
            }
            if queries.is_empty() {
                return;
            }
            self.queries += queries.len();
            inputs = queries
                .into_iter()
                .map(|to| Input::Answer(Answer { reply: self.reply(&to), to }))
                .collect();
        }
    }

    pub(super) fn event(&mut self, event: Event) {
        self.feed(Input::Event(event));
    }

    /// Advances the clock by 250 ms and polls.
    pub(super) fn poll(&mut self) {
        self.advance(250);
        let leases = self.leases.values().cloned().map(|mut lease| {
            if !is_pull_lease(&lease) {
                lease.resources = None;
            }
            lease
        });
        let poll =
            Poll { ingests: self.ingests.values().cloned().collect(), leases: leases.collect() };
        self.feed(Input::Poll(poll));
    }

    fn reply(&self, query: &Query) -> Reply {
        match query {
            Query::Info { digest } => {
                self.blobs.get(digest).map_or(Reply::NotFound, |(at, size, labels, _)| {
                    Reply::Info { size: *size, created_at: *at, labels: labels.clone() }
                })
            }
            Query::Read { digest, .. } => self
                .blobs
                .get(digest)
                .map_or(Reply::NotFound, |(.., text)| Reply::Document { text: text.clone() }),
            Query::Stat { snapshotter, key } => match self.snapshots.get(key) {
                Some((at, committed)) if snapshotter == SNAPSHOTTER => {
                    Reply::Snapshot { created_at: *at, committed: *committed }
                }
                _ => Reply::NotFound,
            },
            Query::Usage { key, .. } => {
                self.usage.get(key).map_or(Reply::NotFound, |size| Reply::Usage { size: *size })
            }
            Query::RecordsOf { target } => Reply::Records {
                records: self
                    .records
                    .values()
                    .filter(|record| record.target == *target)
                    .cloned()
                    .collect(),
            },
            Query::Record { name } => self
                .records
                .get(name)
                .map_or(Reply::NotFound, |record| Reply::Records { records: vec![record.clone()] }),
        }
    }

    pub(super) fn create_lease(&mut self, id: &str) {
        self.create_lease_with(id, &["containerd.io/gc.expire"]);
    }

    pub(super) fn create_lease_with(&mut self, id: &str, labels: &[&str]) {
        let lease = Lease {
            id: id.into(),
            created_at: self.now.node,
            labels: labels
                .iter()
                .map(|label| ((*label).to_owned(), "2030-01-01T00:00:00Z".into()))
                .collect(),
            resources: Some(Vec::new()),
        };
        self.leases.insert(id.into(), lease);
        self.advance(1);
    }

    pub(super) fn add_resource(&mut self, lease: &str, kind: &str, id: &str) {
        let resource = Resource { kind: kind.into(), id: id.into() };
        let resources = self.leases.get_mut(lease).unwrap().resources.as_mut().unwrap();
        if !resources.contains(&resource) {
            resources.push(resource);
        }
    }

    fn remove_resource(&mut self, lease: &str, kind: &str, id: &str) {
        if let Some(resources) =
            self.leases.get_mut(lease).and_then(|lease| lease.resources.as_mut())
        {
            resources.retain(|resource| resource.kind != kind || resource.id != id);
        }
    }

    /// Creates an ingest or updates its offset.
    pub(super) fn write_ingest(&mut self, lease: &str, reference: &str, offset: i64, total: i64) {
        self.add_resource(lease, "ingests", reference);
        let started_at =
            self.ingests.get(reference).map_or(self.now.node, |ingest| ingest.started_at);
        let ingest = Ingest {
            reference: reference.into(),
            offset,
            total,
            started_at,
            updated_at: self.now.node,
        };
        self.ingests.insert(reference.into(), ingest);
    }

    /// Removes an ingest, losing its bytes.
    pub(super) fn remove_ingest(&mut self, reference: &str) {
        self.ingests.remove(reference);
    }

    /// Completes a blob and adds it to the lease.
    pub(super) fn commit_blob(&mut self, lease: &str, prefix: &str, blob: &str, size: i64) {
        let reference = format!("{prefix}-{blob}");
        self.ingests.remove(&reference);
        self.remove_resource(lease, "ingests", &reference);
        self.add_resource(lease, "content", blob);
        self.blobs
            .entry(blob.into())
            .or_insert_with(|| (self.now.node, size, BTreeMap::new(), String::new()));
    }

    /// Adds the manifest and config of an image, with their labels.
    pub(super) fn add_documents(
        &mut self,
        lease: &str,
        image: &ImageFixture,
        repository: (&str, &str),
    ) {
        for (blob, text) in &image.documents {
            self.add_resource(lease, "content", blob);
            let mut labels = BTreeMap::from([(
                format!("containerd.io/distribution.source.{}", repository.0),
                repository.1.to_owned(),
            )]);
            if *blob != image.config {
                labels.insert("containerd.io/gc.ref.content.config".into(), image.config.clone());
            }
            let size = i64::try_from(text.len()).unwrap();
            let now = self.now.node;
            self.blobs.entry(blob.clone()).or_insert((now, size, labels, text.clone()));
        }
    }

    pub(super) fn remove_source_labels(&mut self, blob: &str) {
        let labels = &mut self.blobs.get_mut(blob).unwrap().2;
        labels.retain(|key, _| !key.starts_with("containerd.io/distribution.source."));
    }

    pub(super) fn add_label(&mut self, blob: &str, key: &str, value: &str) {
        self.blobs.get_mut(blob).unwrap().2.insert(key.into(), value.into());
    }

    /// Prepares the snapshot for a chain id.
    pub(super) fn prepare_snapshot(&mut self, lease: &str, chain: &str) {
        let key = format!("extract-{}-x {chain}", self.now.node.unix_nanos() % 1_000);
        self.add_resource(lease, "snapshots/overlayfs", &key);
        self.snapshots.insert(key, (self.now.node, false));
    }

    pub(super) fn extract_key(&self, chain: &str) -> String {
        self.snapshots
            .keys()
            .find(|key| key.starts_with("extract-") && key.ends_with(chain))
            .unwrap()
            .clone()
    }

    pub(super) fn set_usage(&mut self, chain: &str, size: i64) {
        self.usage.insert(self.extract_key(chain), size);
    }

    /// Commits the snapshot of a chain id, optionally with an event.
    pub(super) fn commit_snapshot(&mut self, lease: &str, chain: &str, with_event: bool) {
        let key = self.extract_key(chain);
        self.snapshots.remove(&key);
        self.remove_resource(lease, "snapshots/overlayfs", &key);
        self.add_resource(lease, "snapshots/overlayfs", chain);
        self.snapshots.insert(chain.into(), (self.now.node, true));
        if with_event {
            self.event(Event::SnapshotCommitted { key, name: chain.into() });
        }
    }

    /// Adds a committed snapshot that belongs to no lease.
    pub(super) fn add_chain(&mut self, chain: &str) {
        self.snapshots.insert(chain.into(), (self.now.node, true));
        self.advance(1);
    }

    /// Writes an image record and the snapshot label of its config, without an event.
    pub(super) fn write_record(&mut self, name: &str, image: &ImageFixture) {
        let now = self.now.node;
        let record = ImageRecord {
            name: name.into(),
            target: image.root.clone(),
            created_at: now,
            updated_at: now,
        };
        self.records.insert(name.into(), record);
        if let (Some(config), Some(last)) = (self.blobs.get_mut(&image.config), image.chains.last())
            && self.snapshots.get(last).is_some_and(|(_, committed)| *committed)
        {
            let key = format!("containerd.io/gc.ref.snapshot.{SNAPSHOTTER}");
            config.2.insert(key, last.clone());
        }
    }

    pub(super) fn emit_image_event(&mut self, name: &str) {
        self.event(Event::ImageWritten { name: name.into(), at: self.now.node });
    }

    pub(super) fn delete_lease(&mut self, id: &str) {
        self.leases.remove(id);
    }

    /// Removes these blobs and snapshots.
    pub(super) fn garbage_collect(&mut self, digests: &[&str]) {
        for digest in digests {
            self.blobs.remove(*digest);
            self.snapshots.remove(*digest);
        }
    }

    /// Runs a complete pull that fetches and unpacks one layer at a time.
    pub(super) fn complete_pull(&mut self, lease: &str, image: &ImageFixture, name: &str) {
        self.create_lease(lease);
        self.add_documents(lease, image, ("registry.example", "team/app"));
        for ((layer, size), chain) in image.layers.iter().zip(&image.chains) {
            self.prepare_snapshot(lease, chain);
            self.write_ingest(lease, &format!("layer-{layer}"), 0, *size);
            self.poll();
            self.write_ingest(lease, &format!("layer-{layer}"), size / 2, *size);
            self.poll();
            self.commit_blob(lease, "layer", layer, *size);
            self.poll();
            self.commit_snapshot(lease, chain, true);
        }
        self.write_record(name, image);
        self.emit_image_event(name);
        self.delete_lease(lease);
        self.poll();
        self.poll();
    }

    pub(super) fn pulls(&self) -> Vec<&Pull> {
        self.table.pulls().map(AsRef::as_ref).collect()
    }

    /// Returns the only pull.
    #[track_caller]
    pub(super) fn single_pull(&self) -> &Pull {
        let pulls = self.pulls();
        assert_eq!(pulls.len(), 1, "{pulls:#?}");
        pulls[0]
    }

    /// Returns the layer states of the only pull.
    #[track_caller]
    pub(super) fn layer_states(&self) -> Vec<&'static str> {
        self.single_pull().layers.iter().map(|layer| layer.state.as_str()).collect()
    }

    /// Returns the pull of a lease.
    #[track_caller]
    pub(super) fn pull_of_lease(&self, lease: &str) -> &Pull {
        let has_lease = |pull: &&Pull| pull.id.to_string().contains(&format!("~{lease}~"));
        self.pulls().into_iter().find(has_lease).expect("no pull for this lease")
    }

    /// Asserts that there are no anomalies, and no two consecutive ends of the same pull.
    #[track_caller]
    pub(super) fn assert_consistent(&self) {
        assert_eq!(self.table.counters().anomalies, BTreeMap::new());
        let ends = self.changes.iter().filter(|change| change.kind == ChangeKind::Ended);
        let mut ended: Vec<_> = ends.map(|change| &change.pull.id).collect();
        let all = ended.len();
        ended.dedup();
        assert_eq!(ended.len(), all, "a pull ended twice in a row");
    }

    pub(super) fn parse_digest(text: &str) -> Digest {
        text.parse().unwrap()
    }
}
