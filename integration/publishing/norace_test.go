//go:build !race

package publishing

const raced = false
