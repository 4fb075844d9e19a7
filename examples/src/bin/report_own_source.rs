//! An agent for pulls outside of containerd: a custom source that reports to a standard server.
//! This one plays a short pull and exits: `report_own_source URL`.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use pulltrace_agent_lib::source::{Batch, PullSource, SourceError};
use pulltrace_agent_lib::{Clock, Collector, Settings, sink::HttpSink};
use pulltrace_core::{
    BlobObservation, Bytes, Compression, Digest, EndEvidence, Image, ImageLayer, PullFact,
};
use pulltrace_core::{NameError, NodeTime, Observation as Obs, PullId};

/// The observations, one step every 200 ms.
struct Script(std::vec::IntoIter<Vec<Obs>>, Clock);

impl PullSource for Script {
    async fn next(&mut self) -> Result<Option<Batch>, SourceError> {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let seen = self.0.next();
        Ok(seen.map(|seen| Batch::new(self.1.now(), seen)))
    }
}

#[rustfmt::skip]
fn script(at: NodeTime) -> Result<Vec<Vec<Obs>>, NameError> {
    let (name, namespace) = ("registry.example/app:1".parse()?, "mine".parse()?);
    // Must be constant for a pull, and different for each pull.
    let id: PullId = format!("lease~my-node~mine~pull~{}", at.unix_nanos()).parse()?;
    let pull = || id.clone();
    // The manifest lists the layers: here a single one, whose digest is also used for the image.
    let digest: Digest = format!("sha256:{:064x}", at.unix_nanos()).parse()?;
    let (media_type, created_by) = ("application/vnd.oci.image.layer.v1.tar".to_owned(), None);
    let (size, compression, chains) = (Bytes(1_000_000), Compression::None, Vec::new());
    let layer = ImageLayer { digest: digest.clone(), size, chains, compression, media_type, created_by };
    let (root, manifests) = (digest.clone(), vec![digest.clone()]);
    let image = Arc::new(Image { root, manifests, platform: None, layers: vec![layer] });
    let here = Bytes(400_000);
    let observed = BlobObservation::Ingest { offset: here, started_at: at, updated_at: at, by: Some(pull()) };
    Ok(vec![
        vec![PullFact::Started { at }.of(pull()), PullFact::Named(name).of(pull())],
        vec![PullFact::Root(digest.clone()).of(pull()), PullFact::Image(image).of(pull())],
        vec![Obs::Blob { namespace, digest, observed }],
        // A pull ends only with evidence.
        vec![PullFact::Ended { evidence: EndEvidence::ImagePresent, at }.of(pull())],
    ])
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).ok_or("usage: URL")?;
    let clock = Clock::system();
    let source = Script(script(clock.now().node)?.into_iter(), clock);
    let sink = HttpSink::builder(url).build()?;
    let collector = Collector::new(source, sink, Settings::new("my-node".parse()?))?;
    collector.run(std::future::pending()).await?;
    Ok(())
}
