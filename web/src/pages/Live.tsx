// The cluster now: nodes, their pulls, the layers of those.

import { useState } from 'react';
import { useConnection, useNode, useOutline, useSync, useTotals } from '../live/hooks';
import { count } from '../model/format';
import type { NodeOutline } from '../model/outline';
import { Icon } from '../ui/Icon';
import { Legend } from '../ui/Legend';
import { Message } from '../ui/Message';
import { NodeCard } from '../ui/NodeCard';
import { Summary } from '../ui/Summary';
import styles from './Live.module.css';

/** So many nodes are drawn before anybody asks for more; and so many rows, shared out among them. */
const NODES_SHOWN = 60;
const LIVE_SHOWN = 600;
const ENDED_SHOWN = 300;
/** So many live pulls show their layers unasked. */
const LAYERS_OPEN = 6;

const between = (low: number, value: number, high: number): number =>
  Math.min(high, Math.max(low, Math.floor(value)));

export function Live() {
  const outline = useOutline();
  const totals = useTotals();
  const sync = useSync();
  const { state } = useConnection();
  const busy = outline.filter((node) => node.live.length + node.ended.length > 0);
  const idle = outline.filter((node) => node.live.length + node.ended.length === 0);
  const past = state === 'lost' || state === 'resting' || sync === 'refilling';
  return (
    <main className={`${styles.live} ${past ? styles.past : ''}`} data-sync={sync}>
      <h1 className="hidden">Image pulls, live</h1>
      <Summary />
      {busy.length === 0 ? (
        <Nothing nodes={idle.length} whole={sync !== 'filling'} />
      ) : (
        <div className={styles.head}>
          {totals.live === 0 ? (
            <p data-message="idle">Nothing is being pulled now. What ended lately is below.</p>
          ) : (
            <p>
              {totals.pulling.toLocaleString('en')} of {count(totals.nodes, 'node')} pulling
              {totals.lost > 0 && `, ${totals.lost.toLocaleString('en')} silent`}
            </p>
          )}
          <Legend />
        </div>
      )}
      <Nodes nodes={busy} />
      {idle.length > 0 && <Idle nodes={idle} />}
    </main>
  );
}

function Nodes({ nodes }: { nodes: readonly NodeOutline[] }) {
  const [all, setAll] = useState(false);
  const many = nodes.length > NODES_SHOWN;
  // By name, so that nothing moves; among very many those that pull come first.
  const shown =
    many && !all
      ? [...nodes].sort((a, b) => Number(b.live.length > 0) - Number(a.live.length > 0)).slice(0, NODES_SHOWN)
      : nodes;
  const liveLimit = between(4, LIVE_SHOWN / shown.length, 100);
  const endedLimit = between(3, ENDED_SHOWN / shown.length, 50);
  let open = LAYERS_OPEN;
  return (
    <>
      {shown.map((node) => {
        const mine = Math.min(open, node.live.length);
        open -= mine;
        return (
          <NodeCard key={node.name} node={node} liveLimit={liveLimit} endedLimit={endedLimit} open={mine} />
        );
      })}
      {many && (
        <button type="button" className={styles.more} onClick={() => setAll(!all)}>
          {all ? `Show only ${NODES_SHOWN} nodes` : `Show all ${nodes.length.toLocaleString('en')} nodes`}
        </button>
      )}
    </>
  );
}

const IDLE_SHOWN = 200;

function Idle({ nodes }: { nodes: readonly NodeOutline[] }) {
  return (
    <section className={styles.idle} aria-label="Nodes without pulls">
      <h2>
        {count(nodes.length, 'node')} <span>without pulls</span>
      </h2>
      <ul>
        {nodes.slice(0, IDLE_SHOWN).map(({ name }) => (
          <IdleNode key={name} name={name} />
        ))}
        {nodes.length > IDLE_SHOWN && <li>and {(nodes.length - IDLE_SHOWN).toLocaleString('en')} more</li>}
      </ul>
    </section>
  );
}

function IdleNode({ name }: { name: string }) {
  const lost = useNode(name)?.state === 'lost';
  return (
    <li className={lost ? styles.lost : undefined} data-node-card={name}>
      <Icon name={lost ? 'unknown' : 'node'} size={13} />
      {name}
      {lost && <small> silent</small>}
    </li>
  );
}

/** Why there are no rows. */
function Nothing({ nodes, whole }: { nodes: number; whole: boolean }) {
  if (!whole) return <Skeleton />;
  if (nodes > 0) {
    return (
      <Message name="idle" title="Nothing is being pulled">
        <p>
          {count(nodes, 'node is', 'nodes are')} watched. A pull shows up here by itself, within a second of
          its start.
        </p>
      </Message>
    );
  }
  return (
    <Message name="no-agents" title="No agent has reported yet">
      <p>
        <code>pulltrace-agent</code> watches the container runtime of one node, and reports to this server.
        Start it on a node, with the address of this server:
      </p>
      <pre>PULLTRACE_SERVER_URL={new URL('.', document.baseURI).href.replace(/\/$/, '')} pulltrace-agent</pre>
      <p>This page goes on by itself when the first report comes.</p>
    </Message>
  );
}

function Skeleton() {
  return (
    <div className={styles.skeleton} aria-hidden="true" data-message="loading">
      <i />
      <i />
      <i />
    </div>
  );
}
