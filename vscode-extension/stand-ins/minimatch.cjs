// In minimatch's place in the bundle: the client library matches with it the files of operations that a server wants to
// hear of, and ours wants none. Saves 10 kB of the packed extension.
exports.Minimatch = class {
  constructor() {
    throw new Error('file operations are left out of this build; see stand-ins/minimatch.cjs');
  }
};
