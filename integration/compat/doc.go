// Package compat holds the promise of docs/compatibility.md: what one version writes, the version
// before it and every later one can read, so that an upgrade and a roll-back lose nothing.
//
// testdata has a folder for each version with what its programs wrote: messages, dead letters,
// directories on disk, names, and JSON of the command line. They are kept for ever, and the default
// tests read all of them. With -releases the programs of the last version are built from its
// commit, and run beside those of this one on one queue and one directory, under load and kill -9,
// in both directions.
//
// It contains tests only. README.md says how a release adds its folder.
package compat
