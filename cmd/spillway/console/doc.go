// Package console is the operator's page: what comes in, what waits, what fails and why, as a page
// in a browser, for a pipeline on this machine and for one on AWS.
//
// The page is computed here, once: a [Source] only reads. So a number has the same meaning
// wherever the pipeline runs. The server renders HTML that needs no script; a small script of our
// own replaces the parts that have changed. Everything is embedded: nothing is loaded from
// elsewhere.
//
// A part of the page whose source fails or hangs costs only itself: it shows its last good values
// with their age, and why there are no newer ones.
package console
