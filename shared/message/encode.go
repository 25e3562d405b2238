package message

import (
	"encoding/base64"
	"fmt"

	"github.com/klauspost/compress/zstd"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/rawjson"
)

// AppendJSON appends a message's plain body to dst and returns the extended dst. h's Context and
// Integrations and each event must be valid JSON; their bytes are written as they are.
func AppendJSON(dst []byte, h Header, events ...[]byte) []byte {
	dst = append(dst, '{')
	if h.WriteKey != "" {
		dst = append(dst, `"writeKey":`...)
		dst = rawjson.AppendQuoted(dst, h.WriteKey)
		dst = append(dst, ',')
	}
	dst = append(dst, `"origin":"`...)
	dst = append(dst, h.Origin.String()...)
	dst = append(dst, `",`...)
	if !h.ReceivedAt.IsZero() {
		dst = append(dst, `"receivedAt":"`...)
		dst = h.ReceivedAt.UTC().AppendFormat(dst, event.TimeFormat)
		dst = append(dst, `",`...)
	}
	if len(h.Context) > 0 {
		dst = append(dst, `"context":`...)
		dst = append(dst, h.Context...)
		dst = append(dst, ',')
	}
	if len(h.Integrations) > 0 {
		dst = append(dst, `"integrations":`...)
		dst = append(dst, h.Integrations...)
		dst = append(dst, ',')
	}
	dst = append(dst, `"batch":[`...)
	for i, event := range events {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, event...)
	}
	return append(dst, "]}"...)
}

// A Compressor compresses bodies. It is safe for concurrent use.
type Compressor struct{ zstd *zstd.Encoder }

// NewCompressor returns a Compressor. Its level is zstd's fastest, the cheapest by package price:
// SQS counts by 64 KB, which no better level saves, and each takes longer.
func NewCompressor() (*Compressor, error) {
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(512<<10),
		zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, fmt.Errorf("set up zstd: %w", err)
	}
	return &Compressor{zstd: z}, nil
}

// Compress compresses plain with zstd and encodes it in base64, so that SQS accepts any bytes.
func (c *Compressor) Compress(plain []byte) string {
	return base64.StdEncoding.EncodeToString(c.zstd.EncodeAll(plain, nil))
}

// body returns plain as a body that SQS accepts: unchanged if SQS accepts its characters and it has
// at most maxPlain bytes or does not become shorter, otherwise compressed.
func (c *Compressor) body(plain []byte, maxPlain int, legal bool) (body string, compressed bool) {
	if legal && len(plain) <= maxPlain {
		return string(plain), false
	}
	if body = c.Compress(plain); legal && len(body) >= len(plain) {
		return string(plain), false
	}
	return body, true
}
