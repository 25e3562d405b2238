//go:build race

package testutil

// Race says that the race detector is on, under which what computes takes ten times as long, and
// several times the memory.
const Race = true
