//! What a test of the API server starts with.

use std::time::Duration;

use pulltrace_testkit::kubernetes::{ADMIN, ApiServer, Client, KubernetesBinary, Watch};
use pulltrace_testkit::need;
use serde_json::Value;
use tokio::sync::OnceCell;

/// The longest that anything is waited for.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// An API server of the test's own; `None` where it cannot be had and the test is skipped.
pub(crate) async fn api_server() -> Option<ApiServer> {
    let binary = need::or_skip(KubernetesBinary::apiserver())?;
    Some(ApiServer::start(&binary).await.expect("it starts"))
}

/// Who may do anything, at an API server that all tests of this program share: each has namespaces of its own.
pub(crate) async fn admin() -> Option<Client> {
    static SHARED: OnceCell<Option<ApiServer>> = OnceCell::const_new();
    let server = SHARED.get_or_init(api_server).await.as_ref()?;
    // The connections of a client end with the runtime of its test.
    Some(server.client(ADMIN).expect("a client"))
}

/// The next event of a watch; `None` where it has ended.
pub(crate) async fn next(watch: &mut Watch) -> Option<Value> {
    let next = tokio::time::timeout(SOON, watch.next()).await;
    next.expect("the watch says something")
}

/// The next event's type, and what is under `name` in its object.
pub(crate) async fn next_of(watch: &mut Watch, name: &str) -> (String, Value) {
    let event = next(watch).await.expect("the watch goes on");
    let kind = event["type"].as_str().expect("a type").to_owned();
    (kind, event["object"][name].clone())
}
