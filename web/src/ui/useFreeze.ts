// Rows must not move while the user points at them.

import { type FocusEvent, type PointerEvent, type RefObject, useEffect, useRef } from 'react';

/** Reports whether the pointer or focus is in an element that has the returned events. */
export function useFreeze(setFrozen: (on: boolean) => void, container: RefObject<HTMLElement | null>) {
  const reasons = useRef({ pointer: false, focus: false });
  const update = (change: Partial<typeof reasons.current>) => {
    Object.assign(reasons.current, change);
    setFrozen(reasons.current.pointer || reasons.current.focus);
  };
  // Removing a focused row fires no blur event.
  useEffect(() => {
    if (reasons.current.focus && !container.current?.contains(document.activeElement))
      update({ focus: false });
  });
  useEffect(() => () => setFrozen(false), [setFrozen]);
  return {
    // Touch has no hover.
    onPointerEnter: (event: PointerEvent) => update({ pointer: event.pointerType !== 'touch' }),
    onPointerLeave: () => update({ pointer: false }),
    onFocus: () => update({ focus: true }),
    onBlur: (event: FocusEvent) =>
      update({ focus: event.currentTarget.contains(event.relatedTarget as Node | null) }),
  };
}
