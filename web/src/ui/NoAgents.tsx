// Shown until the first agent reports: how to install the agent.

import { Message } from './Message';
import styles from './NoAgents.module.css';

export function NoAgents() {
  // The page is served by the server that agents report to.
  const serverUrl = new URL('.', document.baseURI).href.replace(/\/$/, '');
  return (
    <Message name="no-agents" title="No agents connected">
      <p>
        <code>pulltrace-agent</code> watches the container runtime of a node and reports to this server. To
        install it in a cluster, from a checkout:
      </p>
      <pre>kubectl apply -f deploy/kubectl/agent.yaml</pre>
      <p>Already installed? Run the self-check of an agent:</p>
      <pre>kubectl -n pulltrace-agents exec daemonset/pulltrace-agent -- /pulltrace-agent check</pre>
      <p>To run it on a single node:</p>
      <pre>PULLTRACE_SERVER_URL={serverUrl} pulltrace-agent</pre>
      <p className={styles.soon}>This page updates with the first report.</p>
    </Message>
  );
}
