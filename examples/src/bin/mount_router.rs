//! The server inside an axum program of your own, under a path of it: `mount_router [ADDRESS]`.
//!
//! Agents report to `http://…/pulltrace`, where the page, the API and the stream are, too.
#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use std::error::Error;

use axum::routing::get;
use pulltrace_server_lib::{Access, Server};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1);
    let address = address.unwrap_or_else(|| "127.0.0.1:8080".to_owned());

    // The program around it knows who asks; without one, `Access` knows tokens.
    let access = Access::new().insecure_open();
    let server = Server::builder().access(access).build()?;
    let table = server.table().clone();
    let app = axum::Router::new()
        .nest_service("/pulltrace", server.router())
        // What all nodes pull can be read without HTTP as well.
        .route("/", get(async move || format!("{} pulls\n", pulls(&table))));

    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("http://{}/pulltrace/", listener.local_addr()?);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    // It takes what is reported, and tells its readers when it is over.
    let task = tokio::spawn(server.run(async move { drop(stopped.await) }));
    axum::serve(listener, app)
        .with_graceful_shutdown(async move {
            // Where Ctrl-C cannot be waited for, it ends the program without our doing.
            if tokio::signal::ctrl_c().await.is_err() {
                std::future::pending::<()>().await;
            }
            drop(stop);
        })
        .await?;
    task.await?;
    Ok(())
}

fn pulls(table: &pulltrace_server_lib::table::Shared) -> usize {
    table.read(|table| table.rows(None).count())
}
