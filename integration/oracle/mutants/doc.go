// Package mutants tests the tests: it puts one bug at a time into the pipeline and looks which
// tests notice it. The table is in table_test.go. Each row is a place in a file and what stands
// there instead, so that the change is read at a glance.
//
//	go test ./integration/oracle/mutants                              # does each row still apply?
//	go test ./integration/oracle/mutants -v -timeout 3h -mutants .    # who catches them? 40 minutes on two cores
//	go test ./integration/oracle/mutants -v -timeout 3h -mutants sync # only those with this in their name
//
// A mutant is an overlay of the go command: the tree itself is not changed. For each one the
// package's own tests run, and then the oracle alone.
//
// It holds tests only.
package mutants
