// A fault in drawing says what it is, and offers the way back, instead of a blank page.

import { Component, type ErrorInfo, type ReactNode } from 'react';
import { href } from '../route';
import styles from './Message.module.css';

interface State {
  error?: unknown;
  /** Which components were being drawn. */
  where?: string | undefined;
}

export class ErrorBoundary extends Component<{ children: ReactNode }, State> {
  override state: State = {};

  static getDerivedStateFromError(error: unknown): State {
    return { error };
  }

  override componentDidCatch(_: unknown, { componentStack }: ErrorInfo): void {
    this.setState({ where: componentStack?.trim() });
  }

  override render(): ReactNode {
    const { error, where } = this.state;
    if (error === undefined) return this.props.children;
    return (
      <section className={styles.message} data-message="fault">
        <h1>This page has a fault</h1>
        <p>The server and the pulls are not touched by it. What happened:</p>
        <pre>{String(error)}</pre>
        <details>
          <summary>Details</summary>
          <pre>{[error instanceof Error ? error.stack : undefined, where].filter(Boolean).join('\n\n')}</pre>
        </details>
        <p className={styles.ways}>
          <button type="button" onClick={() => this.setState({ error: undefined })}>
            Show it again
          </button>
          <a href={href('overview')}>Go to the overview</a>
        </p>
      </section>
    );
  }
}
