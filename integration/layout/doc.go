// Package layout holds the project against its own rules: which package may import which, and which
// words it uses.
//
// A rule that only people know is broken by the third person. These two are cheap to check, and
// hard to restore later.
package layout
