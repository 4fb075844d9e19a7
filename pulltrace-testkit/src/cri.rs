//! Pulls and removes images through CRI, as the kubelet does it.

use std::path::Path;
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::rpc::{CallError, Channel};

/// Within this time a pull of a test has ended, or it never will.
const OUTCOME: Duration = Duration::from_secs(120);

/// A client of containerd's CRI. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Cri {
    channel: Channel,
}

/// An image as CRI lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CriImage {
    /// The config's digest.
    pub id: String,
    /// Names with a tag.
    pub tags: Vec<String>,
    /// Names with the root's digest.
    pub digests: Vec<String>,
    /// Its size in bytes.
    pub size: u64,
}

impl Cri {
    /// A client of the containerd behind this socket; it connects at the first
    /// call.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn connect(socket: &Path) -> Self {
        Self {
            channel: Channel::connect(socket),
        }
    }

    /// Begins to pull `reference`. There is no deadline, as the kubelet has
    /// none.
    pub fn pull(&self, reference: &str) -> Pull {
        let channel = self.channel.clone();
        let request = PullImageRequest {
            image: spec(reference),
        };
        let task = tokio::spawn(async move {
            let answer: PullImageResponse = channel
                .call("/runtime.v1.ImageService/PullImage", request)
                .await?;
            Ok(answer.image_ref)
        });
        Pull {
            reference: reference.to_owned(),
            task,
        }
    }

    /// Removes an image: by name, or by [`CriImage::id`] with all its names.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn remove(&self, reference: &str) -> Result<(), CallError> {
        let request = ImageRequest {
            image: spec(reference),
        };
        self.channel
            .call("/runtime.v1.ImageService/RemoveImage", request)
            .await
            .map(|crate::rpc::Empty {}| ())
    }

    /// All images.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn images(&self) -> Result<Vec<CriImage>, CallError> {
        let answer: ListImagesResponse = self
            .channel
            .call("/runtime.v1.ImageService/ListImages", crate::rpc::Empty {})
            .await?;
        Ok(answer.images.into_iter().map(CriImage::from).collect())
    }

    /// One image by name; `None` when it is not there.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn image(&self, reference: &str) -> Result<Option<CriImage>, CallError> {
        let request = ImageRequest {
            image: spec(reference),
        };
        let answer: ImageStatusResponse = self
            .channel
            .call("/runtime.v1.ImageService/ImageStatus", request)
            .await?;
        Ok(answer.image.map(CriImage::from))
    }
}

/// Sandboxes; [`crate::containerd::Containerd::run_sandbox`] starts one.
impl Cri {
    pub(crate) async fn run_sandbox(&self, name: &str, cgroup: &str) -> Result<String, CallError> {
        let security_context = SandboxSecurityContext {
            namespaces: Some(NamespaceOption { network: NODE }),
        };
        let request = RunPodSandboxRequest {
            config: Some(PodSandboxConfig {
                metadata: Some(PodSandboxMetadata {
                    name: name.to_owned(),
                    uid: format!("uid-of-{name}"),
                    namespace: "default".to_owned(),
                    attempt: 0,
                }),
                linux: Some(LinuxSandboxConfig {
                    cgroup_parent: cgroup.to_owned(),
                    security_context: Some(security_context),
                }),
            }),
        };
        let answer: SandboxId = self
            .channel
            .call("/runtime.v1.RuntimeService/RunPodSandbox", request)
            .await?;
        Ok(answer.id)
    }

    /// Stops and removes a sandbox.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn remove_sandbox(&self, id: &str) -> Result<(), CallError> {
        let request = SandboxId { id: id.to_owned() };
        let crate::rpc::Empty {} = self
            .channel
            .call("/runtime.v1.RuntimeService/StopPodSandbox", request.clone())
            .await?;
        let crate::rpc::Empty {} = self
            .channel
            .call("/runtime.v1.RuntimeService/RemovePodSandbox", request)
            .await?;
        Ok(())
    }
}

/// A pull that runs. It goes on when this is dropped; [`Pull::cancel`] ends it.
#[derive(Debug)]
#[must_use = "the outcome of a pull is what a test is about"]
pub struct Pull {
    reference: String,
    task: JoinHandle<Result<String, CallError>>,
}

impl Pull {
    /// What is being pulled.
    #[must_use]
    pub fn reference(&self) -> &str {
        &self.reference
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.task.is_finished()
    }

    /// Waits for the end, at most two minutes: the image's id, or what
    /// containerd said.
    ///
    /// # Errors
    /// [`CallError`] with containerd's own text.
    ///
    /// # Panics
    /// When there is no end in time, so that a test cannot hang.
    pub async fn outcome(self) -> Result<String, CallError> {
        self.outcome_within(OUTCOME).await
    }

    /// Like [`Pull::outcome`], with another deadline.
    ///
    /// # Errors
    /// [`CallError`] with containerd's own text.
    ///
    /// # Panics
    /// When there is no end in time.
    pub async fn outcome_within(self, deadline: Duration) -> Result<String, CallError> {
        let Self { reference, task } = self;
        let ended = tokio::time::timeout(deadline, task).await;
        ended
            .unwrap_or_else(|_| panic!("the pull of {reference} does not end in {deadline:?}"))
            .expect("the call does not panic")
    }

    /// Takes the call back, as a kubelet does that is stopped. `false` when it
    /// had ended before.
    ///
    /// # Panics
    /// When the task of the call panicked.
    pub async fn cancel(self) -> bool {
        self.task.abort();
        match self.task.await {
            Ok(_) => false,
            Err(error) => {
                assert!(error.is_cancelled(), "the call does not panic");
                true
            }
        }
    }
}

fn spec(reference: &str) -> Option<ImageSpec> {
    Some(ImageSpec {
        image: reference.to_owned(),
    })
}

impl From<ImageMessage> for CriImage {
    fn from(image: ImageMessage) -> Self {
        Self {
            id: image.id,
            tags: image.repo_tags,
            digests: image.repo_digests,
            size: image.size,
        }
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct ImageSpec {
    #[prost(string, tag = "1")]
    image: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PullImageRequest {
    #[prost(message, optional, tag = "1")]
    image: Option<ImageSpec>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PullImageResponse {
    #[prost(string, tag = "1")]
    image_ref: String,
}

/// The request of both `RemoveImage` and `ImageStatus`.
#[derive(Clone, PartialEq, prost::Message)]
struct ImageRequest {
    #[prost(message, optional, tag = "1")]
    image: Option<ImageSpec>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ListImagesResponse {
    #[prost(message, repeated, tag = "1")]
    images: Vec<ImageMessage>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ImageStatusResponse {
    #[prost(message, optional, tag = "1")]
    image: Option<ImageMessage>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ImageMessage {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, repeated, tag = "2")]
    repo_tags: Vec<String>,
    #[prost(string, repeated, tag = "3")]
    repo_digests: Vec<String>,
    #[prost(uint64, tag = "4")]
    size: u64,
}

/// The value of `NamespaceMode` for the host's own.
const NODE: i32 = 2;

#[derive(Clone, PartialEq, prost::Message)]
struct RunPodSandboxRequest {
    #[prost(message, optional, tag = "1")]
    config: Option<PodSandboxConfig>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PodSandboxConfig {
    #[prost(message, optional, tag = "1")]
    metadata: Option<PodSandboxMetadata>,
    #[prost(message, optional, tag = "8")]
    linux: Option<LinuxSandboxConfig>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PodSandboxMetadata {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    uid: String,
    #[prost(string, tag = "3")]
    namespace: String,
    #[prost(uint32, tag = "4")]
    attempt: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct LinuxSandboxConfig {
    #[prost(string, tag = "1")]
    cgroup_parent: String,
    #[prost(message, optional, tag = "2")]
    security_context: Option<SandboxSecurityContext>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SandboxSecurityContext {
    #[prost(message, optional, tag = "1")]
    namespaces: Option<NamespaceOption>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct NamespaceOption {
    #[prost(int32, tag = "1")]
    network: i32,
}

/// The answer of `RunPodSandbox`, and the request of what follows.
#[derive(Clone, PartialEq, prost::Message)]
struct SandboxId {
    #[prost(string, tag = "1")]
    id: String,
}
