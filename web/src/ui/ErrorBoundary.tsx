// A fault in drawing says what it is, and offers the way back, instead of a blank page.

import { Component, type ReactNode } from 'react';
import { href } from '../route';
import styles from './Message.module.css';

export class ErrorBoundary extends Component<{ children: ReactNode }, { error?: unknown }> {
  override state: { error?: unknown } = {};

  static getDerivedStateFromError(error: unknown): { error: unknown } {
    return { error };
  }

  override render(): ReactNode {
    if (this.state.error === undefined) return this.props.children;
    return (
      <section className={styles.message}>
        <h1>This page has a fault</h1>
        <p>The server and the pulls are not touched by it. What happened:</p>
        <pre>{String(this.state.error)}</pre>
        <button type="button" onClick={() => this.setState({ error: undefined })}>
          Show it again
        </button>
        <p>
          <a href={href('overview')}>Go to the overview</a>
        </p>
      </section>
    );
  }
}
