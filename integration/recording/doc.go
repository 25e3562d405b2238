// Command recording makes the recording of README.md from a real run: three terminals, in which
// `spillway up` and `spillway tail` run while a user sends events, lets Segment fail and looks at a
// dead letter. It writes docs/pictures/recording.svg and, for a phone's width, recording-phone.svg.
//
// tmux is the terminal emulator: the screens are what it shows, sampled ten times a second. The
// program adds colours and the titles, and plays the time in which one would only wait faster,
// which the picture says. An SVG that CSS animates, because it is sharp at every width, has text
// that a reader can select, stands still for those who want no motion, and takes a tenth of a GIF.
//
// With -check it plays the scenario again, without pauses, and fails where the recording in the
// tree has a line that the commands no longer print. Numbers, times and ids may differ, and so may
// what the alarms' row says, which depends on the second of the minute. It does not see what they
// print besides.
//
// .ci/recording runs it in a network namespace of its own, since it needs the usual ports.
package main
