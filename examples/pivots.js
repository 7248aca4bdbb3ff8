// A pivots file as code: the keys between which the names of a registry are scanned, sorted by their bytes.
// N keys make N+1 ranges; null at either end says in words that the ranges there are open.
//
// It is evaluated by itself: no modules, files, network, clock or random numbers.

const letters = Array.from({ length: 26 }, (_, index) => String.fromCharCode('a'.charCodeAt(0) + index));

// Scopes hold most of the names, so they are cut after two letters, all others after one.
const scopes = letters.flatMap(first => [`@${first}`, ...letters.map(second => `@${first}${second}`)]);

export const pivots = [null, '0', '@', ...scopes, 'A', ...letters, null];
