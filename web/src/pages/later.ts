// The screens that one opens or looks up, in one piece: each on its own would weigh more than it spares.

export { Failures } from './failures/Failures';
export { Images } from './images/Images';
export { Nodes } from './nodes/Nodes';
export { Pod } from './pod/Pod';
export { Pull } from './pull/Pull';
