// What stands on the page while no agent has reported: how to start one.

import { Message } from './Message';
import styles from './NoAgents.module.css';

export function NoAgents() {
  // Where the page is, its server is.
  const here = new URL('.', document.baseURI).href.replace(/\/$/, '');
  return (
    <Message name="no-agents" title="No agent has reported yet">
      <p>
        <code>pulltrace-agent</code> watches the container runtime of one node, and reports to this server. In
        a cluster, from a checkout:
      </p>
      <pre>kubectl apply -f deploy/kubectl/agent.yaml</pre>
      <p>It is applied already? Ask an agent whether all that it needs is there:</p>
      <pre>kubectl -n pulltrace-agents exec daemonset/pulltrace-agent -- /pulltrace-agent check</pre>
      <p>On one node by itself, with the address of this server:</p>
      <pre>PULLTRACE_SERVER_URL={here} pulltrace-agent</pre>
      <p className={styles.soon}>This page goes on by itself when the first report comes.</p>
    </Message>
  );
}
