// Package virtual runs the emulators of a pipeline in virtual time: a day takes seconds, and
// nothing waits for a real clock.
//
// Time is that of a bubble of testing/synctest, in which a sleep ends at once when all goroutines
// wait. So the code that runs is the code that is deployed: no clock is injected anywhere. Within a
// bubble nothing may wait for the world outside, so a [World] has no socket, and its disk is
// memory.
//
// The oracle tests and the command `spillway drill` run on it.
package virtual

import (
	"testing"
	"testing/synctest"
)

// Run runs f in a bubble of its own, in which it is at first midnight UTC of 2000-01-01, and
// returns when all goroutines that f has started have ended. Several bubbles may run at the same
// time. f must not wait for a channel or context from outside: ask ctx.Err() now and then instead.
//
// A test has synctest.Test; this is for programs. The testing package offers no other entrance to a
// bubble: testing.RunTests runs nothing before `go test` has parsed its flags, and what
// testing.MainStart needs changes with Go's versions. A T that nobody made is enough for
// synctest.Test, which only hangs the bubble's own below it; TestABubbleNeedsNoTest fails first if
// a version of Go changes that. Nothing of the T reaches f.
func Run(f func()) {
	synctest.Test(new(testing.T), func(*testing.T) { f() })
}
