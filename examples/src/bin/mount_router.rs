//! The server mounted under a path of an axum program: `mount_router [ADDRESS]`.
//!
//! Agents report to `http://…/pulltrace`, which also serves the page, the API and the event stream.
#![expect(clippy::print_stdout, reason = "prints its results")]

use std::error::Error;

use axum::routing::get;
use pulltrace_server_lib::{Access, Server};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1);
    let address = address.unwrap_or_else(|| "127.0.0.1:8080".to_owned());

    // The surrounding program controls access; otherwise configure tokens in `Access`.
    let access = Access::new().insecure_open();
    let server = Server::builder().access(access).build()?;
    let table = server.table().clone();
    let app = axum::Router::new()
        .nest_service("/pulltrace", server.router())
        // The pulls of all nodes are also available without HTTP.
        .route("/", get(async move || format!("{} pulls\n", pulls(&table))));

    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("http://{}/pulltrace/", listener.local_addr()?);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    // Processes reports, and ends the streams of readers on shutdown.
    let task = tokio::spawn(server.run(async move { drop(stopped.await) }));
    axum::serve(listener, app)
        .with_graceful_shutdown(async move {
            // Without a handler, Ctrl-C ends the process anyway.
            if tokio::signal::ctrl_c().await.is_err() {
                std::future::pending::<()>().await;
            }
            drop(stop);
        })
        .await?;
    task.await?;
    Ok(())
}

fn pulls(table: &pulltrace_server_lib::table::SharedTable) -> usize {
    table.read(|table| table.rows(None).count())
}
