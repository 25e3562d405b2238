// Package integration proves the pipeline as a whole: through the real AWS SDK, with the built
// binaries, and with processes killed at the worst moment. It holds tests only. What they ask of a
// machine is Go; see integration/clients for the other languages.
package integration
