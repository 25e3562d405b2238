// Package integration tests the pipeline as a whole: through the real AWS SDK, with the built
// binaries, and with processes killed at the worst moment. It contains tests only, which need
// nothing but Go. Those that need other languages are in integration/clients and integration/sdks.
package integration
