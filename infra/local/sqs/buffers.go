package sqs

import (
	"bytes"
	"sync"
)

// bufferPool is buffers for requests and answers: most have 10 KB, and each would be garbage. It is
// safe for concurrent use.
type bufferPool struct{ pool sync.Pool }

// maxPooled bounds the memory of a buffer that is kept: a request of 1 MiB is rare.
const maxPooled = 256 << 10

func (p *bufferPool) get() *bytes.Buffer {
	if b, ok := p.pool.Get().(*bytes.Buffer); ok {
		return b
	}
	return new(bytes.Buffer)
}

// put takes a buffer back, whose content nobody uses any more.
func (p *bufferPool) put(b *bytes.Buffer) {
	if b.Cap() <= maxPooled {
		b.Reset()
		p.pool.Put(b)
	}
}
