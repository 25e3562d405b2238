//go:build !unix

package httpserver

import "math"

// maxHandles is how many files and connections the process may have open.
func maxHandles() int { return math.MaxInt }
