package ingest

import (
	"sync/atomic"
	"unsafe"

	"github.com/spillwayhq/spillway/shared/event"
)

// memoryBudget bounds the bytes that all requests together hold. It is safe for concurrent use.
type memoryBudget struct {
	limit int64
	used  atomic.Int64
}

// take takes n bytes, unless that exceeds the limit. A negative n gives bytes back.
func (b *memoryBudget) take(n int) bool {
	if b.used.Add(int64(n)) > b.limit && n > 0 {
		b.used.Add(int64(-n))
		return false
	}
	return true
}

const (
	// eventCost is what an event takes besides its bytes: where its fields are, where it is in the
	// buffer, and its entries in a part and among the invalid ones.
	eventCost = int(unsafe.Sizeof(event.Received{}) + unsafe.Sizeof(span{}) + unsafe.Sizeof([]byte{}) + unsafe.Sizeof(0))
	// insertCost is the most that is spliced into an event besides the User-Agent: type, messageId,
	// timestamp and an address.
	insertCost = 256
	// gzipCost is what decompressing takes: deflate's window and tables.
	gzipCost = 64 << 10
	// sendCost is how many bytes each byte takes in a message and in a call, if it does not
	// compress.
	sendCost = 2
)

// maxRequestMemory is the most memory that a request with a body of so many bytes may need. Buffers
// that are read into double when they are full; the others grow by a quarter once they are large,
// as append does.
func maxRequestMemory(body int) int {
	enriched := body + maxEvents*(insertCost+2*maxUserAgent) // escaped
	return 2*2*body + gzipCost + (maxEvents*eventCost+enriched)*3/2 + sendCost*enriched
}
