//! Follows the pulls of all nodes on a server: `follow_events URL`; Ctrl-C stops it.
//!
//! The stream reconnects if the server is unavailable or restarts.
#![expect(clippy::print_stdout, reason = "prints its results")]

use std::error::Error;
use std::pin::pin;

use futures_util::StreamExt as _;
use pulltrace_client::{Client, Filter, FollowEvent, Layers, Start};
use pulltrace_core::wire::v1::{PullEvent, PullStatus};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).ok_or("usage: URL")?;
    // Add `token_file` if the server requires a token from readers.
    let client = Client::builder(url).build()?;
    let filter = Filter::default().layers(Layers::None);

    // Pulls that ended before are only in the list; the stream continues after it.
    let list = client.pulls(&filter).await?;
    for pull in &list.pulls {
        println!("known    {}", line(pull));
    }
    let mut stream = pin!(client.follow(&filter, Start::after(&list)));
    while let Some(followed) = stream.next().await {
        match followed? {
            FollowEvent::Event(event) => print(&event),
            FollowEvent::Reset => println!("reset    a snapshot follows"),
            FollowEvent::Disconnected { error, retry_in } => {
                println!("offline  {error}: retry in {retry_in:?}")
            }
            _ => {}
        }
    }
    Ok(())
}

fn print(event: &PullEvent) {
    if let Some(pull) = &event.pull {
        let ended = pull.outcome.is_some();
        println!("{} {}", if ended { "ended   " } else { "changed " }, line(pull));
    }
}

/// Formats a pull; unknown values are left out.
fn line(pull: &PullStatus) -> String {
    let name = pull.image_ref.as_ref().or(pull.repository.as_ref());
    let percent = pull.percent.map(|percent| format!("  {percent:.0} %"));
    let (name, percent) = (name.map_or("?", String::as_str), percent.unwrap_or_default());
    format!("{}  {name}  {:?}{percent}", pull.node_name, pull.phase)
}
