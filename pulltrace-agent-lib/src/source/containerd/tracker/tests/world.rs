//! A containerd on paper: what it holds is set by hand, and it answers the tracker's questions from that.

use std::collections::BTreeMap;
use std::time::Duration;

use pulltrace_core::{Change, ChangeKind, Digest, Limits, Mono, NodeTime, Now, Pull, PullTable};

use super::super::super::input::{
    Answer, Event, Ingest, Input, Lease, Poll, Query, Record, Reply, Resource, Server,
};
use super::super::{Tracker, wants};

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
    records: BTreeMap<String, Record>,
    /// Questions that were asked since this was last set.
    pub(super) queries: usize,
}

/// An image on paper: its digests, and the documents behind them.
#[derive(Clone)]
pub(super) struct Paper {
    pub(super) root: String,
    pub(super) manifest: String,
    pub(super) config: String,
    pub(super) layers: Vec<(String, i64)>,
    pub(super) chains: Vec<String>,
    pub(super) documents: BTreeMap<String, String>,
}

/// A digest that is made of a word, so that tests read well.
pub(super) fn digest(word: &str) -> String {
    let hex: String = word.bytes().map(|b| format!("{b:02x}")).collect();
    format!("sha256:{hex:0>64}")
}

/// An image of layers by word and size; the diff ids are made of the words.
pub(super) fn paper(name: &str, layers: &[(&str, i64)]) -> Paper {
    let config = digest(&format!("{name}-c"));
    let manifest = digest(&format!("{name}-m"));
    let diff: Vec<String> = layers
        .iter()
        .map(|(word, _)| format!("\"{}\"", digest(&format!("{word}.d"))))
        .collect();
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
        super::super::super::image::read(&config_text).unwrap()
    else {
        panic!("a config")
    };
    let chains = super::super::super::image::chains(&read)
        .iter()
        .map(ToString::to_string)
        .collect();
    Paper {
        root: manifest.clone(),
        manifest: manifest.clone(),
        config: config.clone(),
        layers: layers
            .iter()
            .map(|(word, size)| (digest(word), *size))
            .collect(),
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
            now: Now {
                mono: Mono::default(),
                node: start,
            },
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

    /// containerd answers, and was started just now.
    pub(super) fn connect(&mut self, version: &str) {
        let started_at = Some(self.now.node);
        self.pass(1);
        self.tell(Input::Connected(Server {
            version: version.into(),
            started_at,
        }));
    }

    pub(super) fn pass(&mut self, milliseconds: u64) {
        self.now = self.now.plus(Duration::from_millis(milliseconds));
    }

    /// One input, all questions that follow, and what the table makes of it.
    pub(super) fn tell(&mut self, input: Input) {
        let mut inputs = vec![input];
        for round in 0.. {
            assert!(round < 40, "the tracker asks for ever");
            let mut queries = Vec::new();
            for input in inputs {
                let step = self.tracker.step(&input, self.now);
                step.anomalies
                    .into_iter()
                    .for_each(|anomaly| self.table.count(anomaly));
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
                .map(|to| {
                    Input::Answer(Answer {
                        reply: self.reply(&to),
                        to,
                    })
                })
                .collect();
        }
    }

    pub(super) fn event(&mut self, event: Event) {
        self.tell(Input::Event(event));
    }

    /// A quarter of a second passes, and containerd is asked.
    pub(super) fn poll(&mut self) {
        self.pass(250);
        let leases = self.leases.values().cloned().map(|mut lease| {
            if !wants(&lease) {
                lease.resources = None;
            }
            lease
        });
        let poll = Poll {
            ingests: self.ingests.values().cloned().collect(),
            leases: leases.collect(),
        };
        self.tell(Input::Poll(poll));
    }

    fn reply(&self, query: &Query) -> Reply {
        match query {
            Query::Info { digest } => {
                self.blobs
                    .get(digest)
                    .map_or(Reply::NotFound, |(at, size, labels, _)| Reply::Info {
                        size: *size,
                        created_at: *at,
                        labels: labels.clone(),
                    })
            }
            Query::Read { digest, .. } => self
                .blobs
                .get(digest)
                .map_or(Reply::NotFound, |(.., text)| Reply::Document {
                    text: text.clone(),
                }),
            Query::Stat { snapshotter, key } => match self.snapshots.get(key) {
                Some((at, committed)) if snapshotter == SNAPSHOTTER => Reply::Snapshot {
                    created_at: *at,
                    committed: *committed,
                },
                _ => Reply::NotFound,
            },
            Query::Usage { key, .. } => self
                .usage
                .get(key)
                .map_or(Reply::NotFound, |size| Reply::Usage { size: *size }),
            Query::RecordsOf { target } => Reply::Records {
                records: self
                    .records
                    .values()
                    .filter(|record| record.target == *target)
                    .cloned()
                    .collect(),
            },
            Query::Record { name } => {
                self.records
                    .get(name)
                    .map_or(Reply::NotFound, |record| Reply::Records {
                        records: vec![record.clone()],
                    })
            }
        }
    }

    pub(super) fn lease(&mut self, id: &str) {
        self.lease_with(id, &["containerd.io/gc.expire"]);
    }

    pub(super) fn lease_with(&mut self, id: &str, labels: &[&str]) {
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
        self.pass(1);
    }

    pub(super) fn hold(&mut self, lease: &str, kind: &str, id: &str) {
        let resource = Resource {
            kind: kind.into(),
            id: id.into(),
        };
        let resources = self
            .leases
            .get_mut(lease)
            .unwrap()
            .resources
            .as_mut()
            .unwrap();
        if !resources.contains(&resource) {
            resources.push(resource);
        }
    }

    fn release(&mut self, lease: &str, kind: &str, id: &str) {
        if let Some(resources) = self
            .leases
            .get_mut(lease)
            .and_then(|lease| lease.resources.as_mut())
        {
            resources.retain(|resource| resource.kind != kind || resource.id != id);
        }
    }

    /// An ingest is opened, or goes on.
    pub(super) fn write(&mut self, lease: &str, reference: &str, offset: i64, total: i64) {
        self.hold(lease, "ingests", reference);
        let started_at = self
            .ingests
            .get(reference)
            .map_or(self.now.node, |ingest| ingest.started_at);
        let ingest = Ingest {
            reference: reference.into(),
            offset,
            total,
            started_at,
            updated_at: self.now.node,
        };
        self.ingests.insert(reference.into(), ingest);
    }

    /// An ingest is given up: its bytes are gone.
    pub(super) fn abort(&mut self, reference: &str) {
        self.ingests.remove(reference);
    }

    /// A blob is whole, and held by the lease.
    pub(super) fn commit(&mut self, lease: &str, prefix: &str, blob: &str, size: i64) {
        let reference = format!("{prefix}-{blob}");
        self.ingests.remove(&reference);
        self.release(lease, "ingests", &reference);
        self.hold(lease, "content", blob);
        self.blobs
            .entry(blob.into())
            .or_insert_with(|| (self.now.node, size, BTreeMap::new(), String::new()));
    }

    /// The documents of an image come, with their labels.
    pub(super) fn resolve(&mut self, lease: &str, paper: &Paper, repository: (&str, &str)) {
        for (blob, text) in &paper.documents {
            self.hold(lease, "content", blob);
            let mut labels = BTreeMap::from([(
                format!("containerd.io/distribution.source.{}", repository.0),
                repository.1.to_owned(),
            )]);
            if *blob != paper.config {
                labels.insert(
                    "containerd.io/gc.ref.content.config".into(),
                    paper.config.clone(),
                );
            }
            let size = i64::try_from(text.len()).unwrap();
            let now = self.now.node;
            self.blobs
                .entry(blob.clone())
                .or_insert((now, size, labels, text.clone()));
        }
    }

    pub(super) fn unlabel(&mut self, blob: &str) {
        let labels = &mut self.blobs.get_mut(blob).unwrap().2;
        labels.retain(|key, _| !key.starts_with("containerd.io/distribution.source."));
    }

    pub(super) fn label(&mut self, blob: &str, key: &str, value: &str) {
        self.blobs
            .get_mut(blob)
            .unwrap()
            .2
            .insert(key.into(), value.into());
    }

    /// The snapshot of a chain is prepared.
    pub(super) fn prepare(&mut self, lease: &str, chain: &str) {
        let key = format!("extract-{}-x {chain}", self.now.node.unix_nanos() % 1_000);
        self.hold(lease, "snapshots/overlayfs", &key);
        self.snapshots.insert(key, (self.now.node, false));
    }

    pub(super) fn extract_key(&self, chain: &str) -> String {
        self.snapshots
            .keys()
            .find(|key| key.starts_with("extract-") && key.ends_with(chain))
            .unwrap()
            .clone()
    }

    pub(super) fn use_bytes(&mut self, chain: &str, size: i64) {
        self.usage.insert(self.extract_key(chain), size);
    }

    /// The chain is unpacked; an event says so, where it should.
    pub(super) fn unpack(&mut self, lease: &str, chain: &str, announced: bool) {
        let key = self.extract_key(chain);
        self.snapshots.remove(&key);
        self.release(lease, "snapshots/overlayfs", &key);
        self.hold(lease, "snapshots/overlayfs", chain);
        self.snapshots.insert(chain.into(), (self.now.node, true));
        if announced {
            self.event(Event::SnapshotCommitted {
                key,
                name: chain.into(),
            });
        }
    }

    /// A chain that is there before anything begins, in no lease.
    pub(super) fn has_chain(&mut self, chain: &str) {
        self.snapshots.insert(chain.into(), (self.now.node, true));
        self.pass(1);
    }

    /// An image record is written, without an event.
    pub(super) fn record(&mut self, name: &str, paper: &Paper) {
        let now = self.now.node;
        let record = Record {
            name: name.into(),
            target: paper.root.clone(),
            created_at: now,
            updated_at: now,
        };
        self.records.insert(name.into(), record);
        if let (Some(config), Some(last)) = (self.blobs.get_mut(&paper.config), paper.chains.last())
            && self
                .snapshots
                .get(last)
                .is_some_and(|(_, committed)| *committed)
        {
            let key = format!("containerd.io/gc.ref.snapshot.{SNAPSHOTTER}");
            config.2.insert(key, last.clone());
        }
    }

    pub(super) fn announce(&mut self, name: &str) {
        self.event(Event::ImageWritten {
            name: name.into(),
            at: self.now.node,
        });
    }

    pub(super) fn end_lease(&mut self, id: &str) {
        self.leases.remove(id);
    }

    /// What is written by nobody any more is collected.
    pub(super) fn collect(&mut self, digests: &[&str]) {
        for digest in digests {
            self.blobs.remove(*digest);
            self.snapshots.remove(*digest);
        }
    }

    /// A whole pull of an image whose layers are fetched and unpacked one after the other.
    pub(super) fn pull_all(&mut self, lease: &str, paper: &Paper, name: &str) {
        self.lease(lease);
        self.resolve(lease, paper, ("registry.example", "team/app"));
        for ((layer, size), chain) in paper.layers.iter().zip(&paper.chains) {
            self.prepare(lease, chain);
            self.write(lease, &format!("layer-{layer}"), 0, *size);
            self.poll();
            self.write(lease, &format!("layer-{layer}"), size / 2, *size);
            self.poll();
            self.commit(lease, "layer", layer, *size);
            self.poll();
            self.unpack(lease, chain, true);
        }
        self.record(name, paper);
        self.announce(name);
        self.end_lease(lease);
        self.poll();
        self.poll();
    }

    pub(super) fn pulls(&self) -> Vec<&Pull> {
        self.table.pulls().map(AsRef::as_ref).collect()
    }

    /// The only pull there is.
    #[track_caller]
    pub(super) fn only(&self) -> &Pull {
        let pulls = self.pulls();
        assert_eq!(pulls.len(), 1, "{pulls:#?}");
        pulls[0]
    }

    /// The states of the only pull's layers, by their words.
    #[track_caller]
    pub(super) fn layers(&self) -> Vec<&'static str> {
        self.only()
            .layers
            .iter()
            .map(|layer| layer.state.as_str())
            .collect()
    }

    /// The pull of a lease.
    #[track_caller]
    pub(super) fn of(&self, lease: &str) -> &Pull {
        let of = |pull: &&Pull| pull.id.to_string().contains(&format!("~{lease}~"));
        self.pulls()
            .into_iter()
            .find(of)
            .expect("a pull of this lease")
    }

    /// Nothing that was told could not be true.
    #[track_caller]
    pub(super) fn assert_sane(&self) {
        assert_eq!(self.table.counters().anomalies, BTreeMap::new());
        let ends = self
            .changes
            .iter()
            .filter(|change| change.kind == ChangeKind::Ended);
        let mut ended: Vec<_> = ends.map(|change| &change.pull.id).collect();
        let all = ended.len();
        ended.dedup();
        assert_eq!(ended.len(), all, "an end came twice");
    }

    pub(super) fn parse(text: &str) -> Digest {
        text.parse().unwrap()
    }
}
