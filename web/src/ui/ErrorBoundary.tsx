// Shows a rendering error and a way back instead of a blank page.

import { Component, type ErrorInfo, type ReactNode } from 'react';
import { href } from '../route';
import styles from './Message.module.css';

interface ErrorState {
  error?: unknown;
  /** The component stack of the error. */
  stack?: string | undefined;
}

export class ErrorBoundary extends Component<{ children: ReactNode }, ErrorState> {
  override state: ErrorState = {};

  static getDerivedStateFromError(error: unknown): ErrorState {
    return { error };
  }

  override componentDidCatch(_: unknown, { componentStack }: ErrorInfo): void {
    this.setState({ stack: componentStack?.trim() });
  }

  override render(): ReactNode {
    const { error, stack } = this.state;
    if (error === undefined) return this.props.children;
    return (
      <section className={styles.message} data-message="fault">
        <h1>Something went wrong</h1>
        <p>Your pulls are not affected. Error:</p>
        <pre>{String(error)}</pre>
        <details>
          <summary>Details</summary>
          <pre>{[error instanceof Error ? error.stack : undefined, stack].filter(Boolean).join('\n\n')}</pre>
        </details>
        <p className={styles.ways}>
          <button type="button" onClick={() => this.setState({ error: undefined })}>
            Try again
          </button>
          <a href={href('overview')}>Go to overview</a>
        </p>
      </section>
    );
  }
}
