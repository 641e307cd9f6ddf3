package swarm

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"time"

	"bitnet/data/atomicfile"
)

// certificate gives the certificate of a meeting point: that of two files, or one
// that it makes once and keeps in dir. Workers know the second kind by its
// fingerprint, which is "" for the first.
func certificate(dir, certFile, keyFile string) (c tls.Certificate, fingerprint string, err error) {
	if certFile != "" {
		c, err := tls.LoadX509KeyPair(certFile, keyFile)
		if err != nil {
			return c, "", fmt.Errorf("reading --tls-cert and --tls-key: %w", err)
		}
		return c, "", nil
	}
	cert, key := filepath.Join(dir, "tls-cert.pem"), filepath.Join(dir, "tls-key.pem")
	if c, err = tls.LoadX509KeyPair(cert, key); errors.Is(err, fs.ErrNotExist) {
		if err = makeCertificate(cert, key); err == nil {
			c, err = tls.LoadX509KeyPair(cert, key)
		}
	}
	if err != nil {
		return c, "", fmt.Errorf("the certificate of the swarm: %w", err)
	}
	return c, hash(c.Certificate[0]), nil
}

// makeCertificate writes a new key (ECDSA P-256) and a certificate signed by itself.
func makeCertificate(cert, key string) error {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "bitnet swarm"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().AddDate(20, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	if err := writeSecret(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})); err != nil {
		return err
	}
	return atomicfile.Write(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// writeSecret writes a file that only its owner can read.
func writeSecret(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// clientTLS checks the certificate of a meeting point by its fingerprint if the
// address has one, and else by the authorities that the system trusts.
func (a Address) clientTLS() *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if a.Fingerprint == "" {
		return c
	}
	c.InsecureSkipVerify = true // VerifyConnection replaces the check of names and authorities
	c.VerifyConnection = func(s tls.ConnectionState) error {
		if len(s.PeerCertificates) == 0 || subtle.ConstantTimeCompare([]byte(hash(s.PeerCertificates[0].Raw)), []byte(a.Fingerprint)) != 1 {
			return errors.New("the certificate of the meeting point does not have the fingerprint of the address")
		}
		return nil
	}
	return c
}

// token gives the token of a meeting point: the one that was chosen, or one that is
// made once and kept in dir.
func token(dir, chosen string) (string, error) {
	if chosen != "" {
		return chosen, nil
	}
	path := filepath.Join(dir, "token")
	text, err := os.ReadFile(path)
	if err == nil && strings.TrimSpace(string(text)) != "" {
		return strings.TrimSpace(string(text)), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("the token of the swarm: %w", err)
	}
	var b [16]byte
	_, _ = rand.Read(b[:])
	made := hex.EncodeToString(b[:])
	if err := writeSecret(path, []byte(made+"\n")); err != nil {
		return "", fmt.Errorf("keeping the token of the swarm: %w", err)
	}
	return made, nil
}
