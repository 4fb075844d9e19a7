//! A custom source: anything that observes pulls can feed a collector. This one reads standard
//! input: the name of an image that is pulled, then `done` or `fail`. The result is printed as JSON
//! lines.

use std::error::Error;

use pulltrace_agent_lib::sink::NdjsonSink;
use pulltrace_agent_lib::source::{Batch, PullSource, SourceError};
use pulltrace_agent_lib::{Clock, Collector, Settings};
use pulltrace_core::{EndEvidence, NameError, NodeTime, Observation, PullFact, PullId};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines, Stdin, stdin};

struct StdinSource(Lines<BufReader<Stdin>>, Clock, Option<PullId>);

impl PullSource for StdinSource {
    async fn next(&mut self) -> Result<Option<Batch>, SourceError> {
        // `next` must be cancel-safe. Waiting for a line is, and there is no other await.
        let line = self.0.next_line().await;
        let Some(line) = line.map_err(|error| SourceError::Other(error.into()))? else {
            return Ok(None);
        };
        let now = self.1.now();
        let seen = self.parse_line(&line, now.node);
        let seen = seen.map_err(|error| SourceError::Other(error.into()))?;
        Ok(Some(Batch::new(now, seen)))
    }
}

impl StdinSource {
    fn parse_line(&mut self, line: &str, at: NodeTime) -> Result<Vec<Observation>, NameError> {
        let evidence = match line {
            "done" => EndEvidence::ImagePresent,
            "fail" => EndEvidence::ImageAbsent,
            image => return self.start_pull(image, at),
        };
        let pull = self.2.take();
        let ended = pull.map(|pull| PullFact::Ended { evidence, at }.of(pull));
        Ok(ended.into_iter().collect())
    }

    fn start_pull(&mut self, image: &str, at: NodeTime) -> Result<Vec<Observation>, NameError> {
        let (node, namespace, lease) = ("this-node".parse()?, "typed".parse()?, "one".parse()?);
        #[rustfmt::skip]
        let pull = PullId::Lease { node, namespace, lease, created: at };
        self.2 = Some(pull.clone());
        let name = image.parse()?;
        let begun = pull.clone();
        let began = PullFact::Started { at }.of(begun);
        Ok(vec![began, PullFact::Named(name).of(pull)])
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let source = StdinSource(BufReader::new(stdin()).lines(), Clock::system(), None);
    let sink = NdjsonSink::new(std::io::stdout());
    let collector = Collector::new(source, sink, Settings::new("this-node".parse()?))?;
    collector.run(std::future::pending()).await?;
    Ok(())
}
