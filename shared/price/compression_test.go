package price

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// aBatch is 430 events of a shop, of about 850 bytes, of which most differ in most fields.
func aBatch() []byte {
	random := rand.New(rand.NewPCG(1, 2))
	one := func(of string) string { all := strings.Fields(of); return all[random.IntN(len(all))] }
	hex := func(n int) string { return fmt.Sprintf("%016x%016x", random.Uint64(), random.Uint64())[:n] }
	uuid := func() string { return hex(8) + "-" + hex(4) + "-4" + hex(3) + "-a" + hex(3) + "-" + hex(12) }
	product := func() string {
		return fmt.Sprintf(`{"product_id":"%s","sku":"SKU-%05d","name":"%s %s","price":%d.%02d,"quantity":%d,"category":"%s"}`,
			hex(24), random.IntN(1e5), one("red green blue small large oak steel cotton linen round square vintage modern"),
			one("lamp chair table sofa shelf mirror carpet curtain pillow blanket basket clock vase frame candle"),
			random.IntN(400), random.IntN(100), 1+random.IntN(4), one("lighting furniture textiles decoration kitchen"))
	}
	var b bytes.Buffer
	b.WriteString(`{"sentAt":"2026-11-01T00:00:00.000Z","writeKey":"abcdefghijklmnopqrstuvwxyz012345","batch":[`)
	for i := range 430 {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"type":"track","event":"%s","userId":"%d","anonymousId":"%s","messageId":"%s",`+
			`"timestamp":"2026-11-01T00:00:%02d.%03dZ","context":{"library":{"name":"analytics-go","version":"3.3.0"},`+
			`"ip":"%d.%d.%d.%d","locale":"%s","userAgent":"%s","page":{"path":"/products/%d","referrer":"",`+
			`"url":"https://shop.example.com/products/%d"}},"properties":{"order_id":"%s","currency":"EUR","total":%d.%02d,`+
			`"products":[%s`, strings.ReplaceAll(one("Product_Viewed Product_Added Order_Completed Signed_In"), "_", " "),
			random.IntN(1e7), uuid(), uuid(), i/8, random.IntN(1000), random.IntN(255), random.IntN(255), random.IntN(255),
			random.IntN(255), one("en-US de-DE fr-FR"), strings.ReplaceAll(one("okhttp/4.12.0 "+
				"Mozilla/5.0_(X11;_Linux_x86_64)_AppleWebKit/537.36_(KHTML,_like_Gecko)_Chrome/130.0.0.0_Safari/537.36 "+
				"Mozilla/5.0_(iPhone;_CPU_iPhone_OS_18_1_like_Mac_OS_X)_AppleWebKit/605.1.15"), "_", " "), random.IntN(1e5),
			random.IntN(1e5), hex(10), random.IntN(900), random.IntN(100), product())
		for range random.IntN(3) {
			b.WriteString("," + product())
		}
		b.WriteString("]}}")
	}
	b.WriteString("]}")
	return b.Bytes()
}

// compressor returns a function that compresses a batch and returns the bytes that are left.
func (c Compression) compressor(t testing.TB) func(batch []byte) int {
	t.Helper()
	if c.Algorithm == "zstd" {
		// As package message does.
		z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.EncoderLevel(c.Level)), zstd.WithWindowSize(512<<10),
			zstd.WithLowerEncoderMem(true))
		if err != nil {
			t.Fatal(err)
		}
		return func(batch []byte) int { return base64.StdEncoding.EncodedLen(len(z.EncodeAll(batch, nil))) }
	}
	w, err := gzip.NewWriterLevel(io.Discard, c.Level)
	if err != nil {
		t.Fatal(err)
	}
	return func(batch []byte) int {
		var left bytes.Buffer
		w.Reset(&left)
		_, err := w.Write(batch)
		if err := errors.Join(err, w.Close()); err != nil {
			t.Fatal(err)
		}
		return left.Len()
	}
}

func TestTheCompressionsLeaveAsManyBytesAsThePricesAssume(t *testing.T) {
	batch := aBatch()
	for _, c := range append(gzips[:], zstds[:]...) {
		if got := float64(c.compressor(t)(batch)) / float64(len(batch)); math.Abs(got/c.Left-1) > 0.01 {
			t.Errorf("%s %d leaves %.4f, the table says %.4f", c.Algorithm, c.Level, got, c.Left)
		}
	}
}

// BenchmarkCompression measures [Compression.CPU].
func BenchmarkCompression(b *testing.B) {
	batch := aBatch()
	for _, c := range append(gzips[:], zstds[:]...) {
		b.Run(fmt.Sprintf("%s-%d", c.Algorithm, c.Level), func(b *testing.B) {
			compress := c.compressor(b)
			b.SetBytes(int64(len(batch)))
			for b.Loop() {
				compress(batch)
			}
			b.ReportMetric(b.Elapsed().Seconds()*1e6/float64(b.N)/float64(len(batch))*1e6, "µs/MB")
		})
	}
}

func TestTheCostPageHasTheTableOfCompressions(t *testing.T) {
	page, err := os.ReadFile("../../docs/cost.md")
	if err != nil {
		t.Fatal(err)
	}
	if table := CompressionTable(); !strings.Contains(string(page), "\n"+table) {
		t.Errorf("docs/cost.md does not have the table of compressions as it is now:\n%s", table)
	}
}

func TestTheChosenCompressionIsAsCheapAsAnyAndFasterThanTheSmallest(t *testing.T) {
	for _, c := range []struct {
		chosen Compression
		all    []Compression
	}{{Gzip(), gzips[:]}, {Zstd(), zstds[:]}} {
		for _, other := range c.all {
			if other.dollars() < c.chosen.dollars()*(1-asCheap) {
				t.Errorf("%+v is chosen, %+v is cheaper", c.chosen, other)
			}
		}
		if smallest := c.all[len(c.all)-1]; c.chosen.CPU >= smallest.CPU/2 {
			t.Errorf("%+v is chosen, %+v leaves least", c.chosen, smallest)
		}
	}
	if g := Gzip(); g.dollars() > 0.95*gzips[0].dollars() {
		t.Errorf("%+v costs $%.4f, the fastest $%.4f: the bytes are worth a better level", g, g.dollars(), gzips[0].dollars())
	}
	if z := Zstd(); zstd.EncoderLevel(z.Level) != zstd.SpeedFastest {
		t.Errorf("%+v is chosen, and package message uses the fastest", z)
	}
}

func TestTimeOfACoreCostsTheSameInAFunctionOfAnyMemory(t *testing.T) {
	// A second of a core is 1.73 GB-s; a MB of events takes 10 ms here.
	c := Compression{CPU: 10 * time.Millisecond}
	if got := c.gbSeconds(100e6); math.Abs(got-1769.0/1024) > 1e-9 {
		t.Errorf("%.4f GB-s", got)
	}
}
