//! Vectors from OpenSSL 3 (`openssl dgst -sha256 -sign`, `openssl pkeyutl -sign -rawin`) and from
//! Python's hmac and hashlib; JWKs from Python's `cryptography`.

use super::*;
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

const MESSAGE: &[u8] = b"The quick brown fox";

#[test]
fn macs_and_digests() {
    for (hash, expected) in [
        ("sha1", "22f9e077a3cebd09248154f85d9a56c79941fd96"),
        (
            "sha256",
            "203d1e5cedd2d18f8c5a3beff0bd9c1ebcb97097dfcb288c46b00c9227fde2c0",
        ),
        (
            "sha512",
            "36f44b125a8a90639dc46733039571792e081e0fd8685ff746784b02ed14aa35\
             629d562c7117cde4a701570551faa5a5e1b7ef1eb5c3bcd4cc1fdb8923fcf14e",
        ),
    ] {
        assert_eq!(hex::encode(mac(hash, b"key", MESSAGE).unwrap()), expected);
    }
    assert_eq!(mac("md5", b"key", MESSAGE), None);
    for (hash, expected) in [
        ("md5", "0563d37c6931864682f259bd92b73a41"),
        ("sha1", "e713190d7f5147638d58564fb8c38b04ec67a2c9"),
        (
            "sha256",
            "b346f18fc0fa2084b262a4def3308bb65386dd5e4e72dc414cbaa9cf2a44fcaa",
        ),
    ] {
        let mut hasher = Hasher::new(hash).unwrap();
        hasher.update(MESSAGE);
        hasher.update(b"key");
        assert_eq!(hex::encode(hasher.finish()), expected);
    }
}

fn der(pem: &str) -> Vec<u8> {
    let inner: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    STANDARD.decode(inner).unwrap()
}

#[test]
fn rs256_is_what_openssl_makes_of_it() {
    for key in [RSA_PEM.as_bytes(), &der(RSA_PEM), RSA_JWK.as_bytes()] {
        let signature = sign(Algorithm::Rs256, key, MESSAGE).unwrap();
        assert_eq!(hex::encode(signature), RSA_SIGNATURE);
    }
}

#[test]
fn ed25519_is_what_openssl_makes_of_it() {
    for key in [ED_PEM.as_bytes(), &der(ED_PEM), ED_JWK.as_bytes()] {
        let signature = sign(Algorithm::Ed25519, key, MESSAGE).unwrap();
        assert_eq!(hex::encode(signature), ED_SIGNATURE);
    }
}

#[test]
fn es256_verifies_under_the_public_key() {
    let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, hex::decode(EC_PUBLIC).unwrap());
    for key in [EC_PEM.as_bytes(), &der(EC_PEM), EC_JWK.as_bytes()] {
        let signature = sign(Algorithm::Es256, key, MESSAGE).unwrap();
        assert_eq!(signature.len(), 64);
        public.verify(MESSAGE, &signature).unwrap();
        assert!(public.verify(b"another", &signature).is_err());
    }
}

#[test]
fn a_wrong_key_is_refused_without_a_word_of_it() {
    for (algorithm, key) in [
        (Algorithm::Rs256, EC_PEM),
        (Algorithm::Es256, ED_PEM),
        (Algorithm::Ed25519, RSA_JWK),
        (Algorithm::Es256, "{\"kty\":\"EC\"}"),
        (Algorithm::Rs256, "hunter2"),
        (Algorithm::Rs256, ""),
    ] {
        let refused = sign(algorithm, key.as_bytes(), MESSAGE).unwrap_err();
        assert_eq!(refused, WRONG_KEY);
    }
}

const RSA_PEM: &str = "-----BEGIN PRIVATE KEY-----
MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQDxaGsu1Rh8inSf
xN3uPUip1g3eR1lhqAfWU9Yy8MItIFRTBZD0c/RhnRd7LSN4N5wtHQn/dYG6NfPY
6k1sMmV0sKs5HATM9+ZqCltDsxyKrMxM1Jeo/L9oCenNyl3PLjWEPvrcFpKDKl4e
1rh6StcEpyEo4ZvnLAtlPYCk4bZ8i0tVvl99uM8b2NT7stNhZvot0eUYAgG4a9Vw
0nZp+HjhNjVODPASatA32mSBP8qwLEnrLH6eCq5LrGJiQulyLBT6uyjcnfawP5xJ
DZU9aFug/NXi7f3lUavuSWlNHrOKhO6ATvkGmHFJJtJvG5qA1Z/+5FM0FaZNYIAw
p0vB0j0bAgMBAAECggEATIUaMGqYi+WBSSFobXtcfIUeuT3pfZR7A3tokpYRHqe4
QuapR2s34/cc+czZiOIrrXseb6yqFcHDTRcbuneRBDd51qzkcqoDjcpBmoh8PBLA
4XujpQuUimBWDYafTKwrh4NFFh1LjKsR0XmjWRQ+6rklQCWfOtwRsqIXlGv9YaVR
8eRHD00y3paZKHapjLB9lJbI+2tRUKzaiQ4QG5WnW1HxFtix3155S8BbHODeH/qo
82Jl2x2oPj42Tqe/toK0gtGo8q/9ll6k+vkKK+36LjcTq0MUPLfQkrBLd2atJeUA
HYfLcB7OJtA83kUXyk76DBohWcB0F7WDLplIK1Lr/QKBgQD++DB0nAmP+zbCcnNr
FM5MQ5YJCs50si0Dle1mfSfJtqqlsin8PfUA6P5GOZaRyqa6141mbH3QYjnUa4TW
+TssED3Xxxb3mIKkQKgKL/tAExohRDLxCaR1tf+Asl3z5bHBOOZ/5VkGONAYjKoL
0bXLp/+PxIhZmjOdMQZ8/jmJ1wKBgQDyYjKSKhyza3egqs52nu2x8y0VPFpnVVjf
/bnDD+8BtWbG2eTzystc6D9K3oY0jfEnwbwAkcb96r+GnVRTpcyZQ3AKiNgfxq2d
o6cVVvuSI88NGQsfGWdiRRHXZ6Coa2b4oHn9wu16BEzYv5ZcRTIAh7d5vLYMf8qq
GZ5e2QzmXQKBgQC1RroUvjfiQWaeewbqdCF0gXzzstY0i9WLPhZKjuMx/Ah5xCEr
sNU3r2/Rd/JAd4dxQf3Le4k8Fgotp8ALo6lZW7bMakU/BhSkOT//9js5RBuI2Vcq
noNqGVquIqK/3Gg0C4N+HQ7daJkzSxc/Tftl72y4x691nTfjI88MISfBgwKBgAb4
thWoKm0qsSUo5Ila5uFQakKLGtqQBN9kb9xhb/Fvo0Yi7Efq1FCWyYNAxUFrt7z6
AItPphaVku6vRcamJS1fWDClYPoA/+th0qN1fgTlDMaGquA5HdUgwXOdomxVsn+C
NiALZEM3LnKpiAydXOPRA4D34ZCYeF7OH9UAjzNtAoGAV+YJMXSTiifMFB7LnHtG
GDjWjSVMimLiQA/XSeOClua/CM1JUpNJlH8ni3/wMxvmIhICF1kLKOAFvRx0O6sL
SiDK0OxXrzm+eS77ZHebrRRq+I4LpzhsVuty0sS003IpdfFRUFfbJ1yMkIGl385K
/tPDiO4lgu2wXHL2ffIUKRA=
-----END PRIVATE KEY-----
";
const EC_PEM: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQguwhYP3gXWECSDHeF
Q/14s7HPeyfV8JNBhBRgTb3AbTShRANCAAR0ChSgrKVA62ysLUfZPwwAnVSHqc94
+nBEJcSDgd35s75FsPg+dFII+C26IwMyZQd0PikWXwJCJijTWDD7p83P
-----END PRIVATE KEY-----
";
const ED_PEM: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEII5MGPO+xh53O2E5MF+nmyS6lNAv7+a8o9911rQuIyJr
-----END PRIVATE KEY-----
";
const RSA_JWK: &str = "{\"kty\":\"RSA\",\"n\":\"8WhrLtUYfIp0n8Td7j1IqdYN3kdZYagH1lPWMvDCLSBUUwWQ9HP0YZ0Xey0jeDe\
     cLR0J_3WBujXz2OpNbDJldLCrORwEzPfmagpbQ7MciqzMTNSXqPy_aAnpzcpdzy41hD763BaSgypeHta4ekrXBKc\
     hKOGb5ywLZT2ApOG2fItLVb5ffbjPG9jU-7LTYWb6LdHlGAIBuGvVcNJ2afh44TY1TgzwEmrQN9pkgT_KsCxJ6yx\
     -ngquS6xiYkLpciwU-rso3J32sD-cSQ2VPWhboPzV4u395VGr7klpTR6zioTugE75BphxSSbSbxuagNWf_uRTNBW\
     mTWCAMKdLwdI9Gw\",\"e\":\"AQAB\",\"d\":\"TIUaMGqYi-WBSSFobXtcfIUeuT3pfZR7A3tokpYRHqe4Qua\
     pR2s34_cc-czZiOIrrXseb6yqFcHDTRcbuneRBDd51qzkcqoDjcpBmoh8PBLA4XujpQuUimBWDYafTKwrh4NFFh1\
     LjKsR0XmjWRQ-6rklQCWfOtwRsqIXlGv9YaVR8eRHD00y3paZKHapjLB9lJbI-2tRUKzaiQ4QG5WnW1HxFtix315\
     5S8BbHODeH_qo82Jl2x2oPj42Tqe_toK0gtGo8q_9ll6k-vkKK-36LjcTq0MUPLfQkrBLd2atJeUAHYfLcB7OJtA\
     83kUXyk76DBohWcB0F7WDLplIK1Lr_Q\",\"p\":\"_vgwdJwJj_s2wnJzaxTOTEOWCQrOdLItA5XtZn0nybaqpb\
     Ip_D31AOj-RjmWkcqmuteNZmx90GI51GuE1vk7LBA918cW95iCpECoCi_7QBMaIUQy8QmkdbX_gLJd8-WxwTjmf-\
     VZBjjQGIyqC9G1y6f_j8SIWZoznTEGfP45idc\",\"q\":\"8mIykiocs2t3oKrOdp7tsfMtFTxaZ1VY3_25ww_v\
     AbVmxtnk88rLXOg_St6GNI3xJ8G8AJHG_eq_hp1UU6XMmUNwCojYH8atnaOnFVb7kiPPDRkLHxlnYkUR12egqGtm\
     -KB5_cLtegRM2L-WXEUyAIe3eby2DH_KqhmeXtkM5l0\",\"dp\":\"tUa6FL434kFmnnsG6nQhdIF887LWNIvVi\
     z4WSo7jMfwIecQhK7DVN69v0XfyQHeHcUH9y3uJPBYKLafAC6OpWVu2zGpFPwYUpDk___Y7OUQbiNlXKp6Dahlar\
     iKiv9xoNAuDfh0O3WiZM0sXP037Ze9suMevdZ034yPPDCEnwYM\",\"dq\":\"Bvi2FagqbSqxJSjkiVrm4VBqQo\
     sa2pAE32Rv3GFv8W-jRiLsR-rUUJbJg0DFQWu3vPoAi0-mFpWS7q9FxqYlLV9YMKVg-gD_62HSo3V-BOUMxoaq4D\
     kd1SDBc52ibFWyf4I2IAtkQzcucqmIDJ1c49EDgPfhkJh4Xs4f1QCPM20\",\"qi\":\"V-YJMXSTiifMFB7LnHt\
     GGDjWjSVMimLiQA_XSeOClua_CM1JUpNJlH8ni3_wMxvmIhICF1kLKOAFvRx0O6sLSiDK0OxXrzm-eS77ZHebrRR\
     q-I4LpzhsVuty0sS003IpdfFRUFfbJ1yMkIGl385K_tPDiO4lgu2wXHL2ffIUKRA\"}";
const EC_JWK: &str = "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"dAoUoKylQOtsrC1H2T8MAJ1Uh6nPePpwRCXEg4Hd-bM\",\
     \"y\":\"vkWw-D50Ugj4LbojAzJlB3Q-KRZfAkImKNNYMPunzc8\",\"d\":\"uwhYP3gXWECSDHeFQ_14s7HPey\
     fV8JNBhBRgTb3AbTQ\"}";
const ED_JWK: &str = "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"V8gKLRTzBY-2R5X_CJ09KXTtkcUDpqX8rf4U7V7yx1o\
     \",\"d\":\"jkwY877GHnc7YTkwX6ebJLqU0C_v5ryj33XWtC4jIms\"}";
const EC_PUBLIC: &str = "04740a14a0aca540eb6cac2d47d93f0c009d5487a9cf78fa704425c48381ddf9b3be45b0f83e745208f82dba23\
     03326507743e29165f02422628d35830fba7cdcf";
const RSA_SIGNATURE: &str = "de675eac1aba198dce3ba8f6f05d12dcc0ad0e3687394edeecba29a22c0e99912c84ed6e9599a035b6331d4c11\
     5da5932696c751f9a854338380c735b9c6ff44a81077225314f72eebe4b4c749e2385a7fe73c210b43542ba284\
     6592d7eaf1e3691e3615b2742e14b5edbf094220d0bbdc4e9e080d3b2c18dac6232e95c39c969ac73186e7e684\
     d426390778278bf1befb976e9f658817271f319194752a47ff681b5158c319100fffe873fcd23e88877506b782\
     74a131dfeac16dbda081a2b0fabefab7ce59782196b8668c0be2f58a576c0244344735a1ce90249353f3221295\
     8d4bec7ae7eef60e6d9cece4b6707e5646fde3d093828a5ce4039f38b90036";
const ED_SIGNATURE: &str = "a909bd525acddf754a4cbbc8cc2f739eae877975d2cc91bf709249e8da3ede4454b033f442e7eef0d91cb7f3b7\
     1f0705cc3c97f9d048fb7e61291f5c8aede406";
