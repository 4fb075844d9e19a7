// The pages that are loaded on demand, in one chunk: separate chunks would add more overhead than
// they save.

export { Failures } from './failures/Failures';
export { Images } from './images/Images';
export { Nodes } from './nodes/Nodes';
export { Pod } from './pod/Pod';
export { Pull } from './pull/Pull';
