// Generated from pulltrace-core by `cargo run -p pulltrace-core --all-features --example generate`. Do not edit.

import type { FailureReason } from './wire';

/** Titles in sentence case. */
export const FAILURE_TITLES: Record<FailureReason, string | undefined> = {
  not_found: "Image not found",
  unauthorized: "Unauthorized",
  rate_limited: "Rate limited",
  kubelet_qps: "Throttled by the kubelet",
  registry_error: "Registry error",
  dns: "DNS lookup failed",
  connection_refused: "Connection refused",
  timeout: "Timed out",
  tls: "TLS error",
  proxy: "Proxy error",
  no_space: "No space left on device",
  no_matching_platform: "No image for this platform",
  digest_mismatch: "Content mismatch",
  signature: "Signature rejected",
  invalid_name: "Invalid image name",
  never_pull: "Not present (pull policy Never)",
  progress_timeout: "No progress",
  runtime_restarted: "Runtime restarted",
  cancelled: "Cancelled",
  unexplained: "No reason given",
  other: "Other failure",
};

/** Advice that the server sends with a failure. */
export const FAILURE_HINTS: Record<FailureReason, string | undefined> = {
  not_found: "The registry has no such tag or digest. Check the image name; many registries also answer 404 when credentials are missing.",
  unauthorized: "The registry rejected the credentials, or none were sent. Check imagePullSecrets and their scope.",
  rate_limited: "The registry is limiting pulls (429). Authenticate, use a pull-through cache, or wait.",
  kubelet_qps: "The node exceeded registryPullQPS/registryBurst. The kubelet retries on its own.",
  registry_error: "The registry returned a server error (5xx). Check its status; the kubelet retries.",
  dns: "The node could not resolve the registry's host. Check the host name and the node's resolver (not the pod's).",
  connection_refused: "Nothing accepted the connection. Check that the registry or mirror is running, its port, and firewalls.",
  timeout: "No answer in time. Check the network path to the host named in the message.",
  tls: "The TLS handshake failed. Check the certificate's issuer, host name and expiry, the node's clock, and http vs https.",
  proxy: "The node's proxy refused the request. Check HTTPS_PROXY and NO_PROXY of the runtime.",
  no_space: "The disk named in the message is full. Free space or enlarge it.",
  no_matching_platform: "Build the image for the node's OS and architecture, or schedule elsewhere (kubernetes.io/os, kubernetes.io/arch).",
  digest_mismatch: "The content differs from the manifest: a mirror, proxy or registry served broken data.",
  signature: "The node's signature policy rejected the image.",
  invalid_name: "Fix the image reference in the pod spec.",
  never_pull: "Load the image onto the node, or change imagePullPolicy.",
  progress_timeout: "The runtime gave up after receiving nothing for image_pull_progress_timeout.",
  runtime_restarted: "The container runtime restarted during the pull. The kubelet retries.",
  cancelled: "The caller or the runtime cancelled the pull.",
  unexplained: "Check the pod's events and the runtime's log on the node.",
  other: undefined,
};
