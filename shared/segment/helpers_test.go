package segment

import (
	"fmt"
	"strings"

	"github.com/spillwayhq/spillway/shared/event"
)

func batchOf(events ...string) *event.Batch {
	b := &event.Batch{WriteKey: "key"}
	for _, e := range events {
		b.Events = append(b.Events, []byte(e))
	}
	return b
}

// paddedEvent is a valid track of exactly n bytes.
func paddedEvent(n int) string {
	const head, tail = `{"type":"track","userId":"u","event":"e","pad":"`, `"}`
	return head + strings.Repeat("x", n-len(head)-len(tail)) + tail
}

// sampleEvent is a track of about 1.1 KB as a server SDK makes it.
func sampleEvent(i int) []byte {
	return fmt.Appendf(nil, `{"type":"track","messageId":"8b0a4f2c-6a0e-4b43-9a54-%012d","timestamp":"2026-03-04T05:06:07.%03dZ","userId":"user-%d",`+
		`"event":"Order Completed","properties":{"order_id":"ord_%d","total":%d.25,"currency":"EUR","coupon":null,"products":[`+
		`{"product_id":"507f1f77bcf86cd799439011","sku":"45790-32","name":"Monopoly: 3rd Edition","price":19,"quantity":1,"category":"Games"},`+
		`{"product_id":"505bd76785ebb509fc183733","sku":"46493-32","name":"Uno Card Game","price":3,"quantity":2,"category":"Games"}]},`+
		`"context":{"ip":"203.0.113.%d","locale":"de-DE","timezone":"Europe/Berlin","library":{"name":"analytics-node","version":"3.1.0"},`+
		`"userAgent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",`+
		`"page":{"path":"/checkout/done","referrer":"https://shop.example/cart","title":"Thank you","url":"https://shop.example/checkout/done?step=%d"},`+
		`"campaign":{"name":"spring","source":"newsletter","medium":"email"}},"integrations":{"All":true,"Mixpanel":false}}`,
		i, i%1000, i%977, i, i%500, i%250, i)
}
