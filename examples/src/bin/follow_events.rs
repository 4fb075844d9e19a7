//! What the pulls of all nodes do, from a server: `follow_events URL`, and Ctrl-C ends it.
//!
//! A server that is away or restarted is no reason to end: the stream comes back by itself.
#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use std::error::Error;
use std::pin::pin;

use futures_util::StreamExt as _;
use pulltrace_client::{Client, Filter, Followed, Layers, Start};
use pulltrace_core::wire::v1::{PullEvent, PullStatus};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).ok_or("usage: URL")?;
    // One with `token_file`, where the server asks readers for a token.
    let client = Client::builder(url).build()?;
    let filter = Filter::default().layers(Layers::None);

    // What ended before is in the list alone; all that came since follows from there.
    let list = client.pulls(&filter).await?;
    for pull in &list.pulls {
        println!("known    {}", line(pull));
    }
    let mut stream = pin!(client.follow(&filter, Start::after(&list)));
    while let Some(followed) = stream.next().await {
        match followed? {
            Followed::Event(event) => print(&event),
            Followed::Reset => println!("begin    anew: a snapshot follows"),
            Followed::Away { error, retry_in } => println!("away     {error}: in {retry_in:?}"),
            _ => {}
        }
    }
    Ok(())
}

fn print(event: &PullEvent) {
    if let Some(pull) = &event.pull {
        let ended = pull.outcome.is_some();
        println!(
            "{} {}",
            if ended { "ended   " } else { "changed " },
            line(pull)
        );
    }
}

/// What is not known is left out.
fn line(pull: &PullStatus) -> String {
    let name = pull.image_ref.as_ref().or(pull.repository.as_ref());
    let percent = pull.percent.map(|percent| format!("  {percent:.0} %"));
    let (name, percent) = (
        name.map_or("?", String::as_str),
        percent.unwrap_or_default(),
    );
    format!("{}  {name}  {:?}{percent}", pull.node_name, pull.phase)
}
