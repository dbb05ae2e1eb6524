//! Which product a file is for, by what stands in it.

use super::directive::Source;
use crate::lint::model::Product;

/// The product whose configuration the text looks like; none when nothing shows.
pub fn detect(source: &Source) -> Option<Product> {
    let name = source.name.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    let text = &source.text;
    let has = |word: &str| text.contains(word);
    let lines = || text.lines().map(str::trim_start).filter(|line| !line.starts_with('#'));
    let begins = |words: &[&str]| {
        lines().any(|line| words.contains(&line.split_whitespace().next().unwrap_or_default()))
    };
    let data = [".yaml", ".yml", ".json", ".toml"].iter().any(|end| name.ends_with(end))
        || text.trim_start().starts_with('{') && has("\":")
        || begins(&["apiVersion:", "kind:", "services:", "static_resources:", "http:", "---"]);
    if data && !begins(&["server", "frontend", "backend", "location"]) {
        return of_data(source);
    }
    if name.starts_with("caddyfile") || begins(&["reverse_proxy"]) || has("\treverse_proxy ") {
        return Some(Product::Caddy);
    }
    let lower_begins = |words: &[&str]| {
        lines().any(|line| {
            let word = line.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
            words.contains(&word.as_str())
        })
    };
    if lower_begins(&[
        "<virtualhost",
        "proxypass",
        "proxypassmatch",
        "proxypreservehost",
        "loadmodule",
        "requestheader",
        "<ifmodule",
    ]) {
        return Some(Product::Apache);
    }
    if begins(&[
        "proxy_pass",
        "proxy_set_header",
        "location",
        "upstream",
        "http",
        "proxy_http_version",
    ]) || has("proxy_pass ")
        || has("# configuration file ")
        || begins(&["server"]) && has(";")
    {
        return Some(Product::Nginx);
    }
    if begins(&["frontend", "listen", "backend", "defaults"]) {
        return Some(Product::Haproxy);
    }
    None
}

/// Of YAML, JSON and TOML.
fn of_data(source: &Source) -> Option<Product> {
    let has = |word: &str| source.text.contains(word);
    if has("HTTPRoute") && has("gateway.networking.k8s.io") {
        return Some(Product::GatewayApi);
    }
    if has("kind: Ingress")
        || has("\"kind\": \"Ingress\"")
        || has("nginx.ingress.kubernetes.io/")
        || has("use-forwarded-headers")
    {
        return Some(Product::IngressNginx);
    }
    if has("virtual_hosts")
        || has("HttpConnectionManager")
        || has("upgrade_configs")
        || has("envoy.filters")
        || has("host_rewrite_")
    {
        return Some(Product::Envoy);
    }
    if has("\"Attributes\"") && has("\"Key\"") || has("\"TargetGroups\"") {
        return Some(Product::Alb);
    }
    let traefik = [
        "entryPoints",
        "loadBalancer",
        "customRequestHeaders",
        "traefik.",
        "middlewares",
        "routers",
    ];
    traefik.iter().any(|word| has(word)).then_some(Product::Traefik)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_tells_the_product() {
        for (name, text, want) in [
            ("x", "server {\n location / { proxy_pass http://a; }\n}\n", Some(Product::Nginx)),
            ("x", "# configuration file /etc/nginx/nginx.conf:\n", Some(Product::Nginx)),
            (
                "x",
                "map $http_upgrade $c { default upgrade; }\nserver { listen 80; }\n",
                Some(Product::Nginx),
            ),
            ("x", "defaults\n mode http\nfrontend a\n bind :80\n", Some(Product::Haproxy)),
            ("x", "backend a\n server b 127.0.0.1:1\n", Some(Product::Haproxy)),
            (
                "x",
                "<VirtualHost *:80>\nProxyPass / http://a/\n</VirtualHost>\n",
                Some(Product::Apache),
            ),
            ("x", "a.example {\n\treverse_proxy 127.0.0.1:1\n}\n", Some(Product::Caddy)),
            ("Caddyfile", "a.example\nfile_server\n", Some(Product::Caddy)),
            ("x.yaml", "kind: Ingress\n", Some(Product::IngressNginx)),
            (
                "x.yaml",
                "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n",
                Some(Product::GatewayApi),
            ),
            ("x.toml", "[http.routers.a]\n", Some(Product::Traefik)),
            (
                "x.yaml",
                "services:\n a:\n  labels:\n   - traefik.enable=true\n",
                Some(Product::Traefik),
            ),
            ("x.json", "{\"static_resources\": {\"virtual_hosts\": []}}", Some(Product::Envoy)),
            ("x.json", "{\"Attributes\": [{\"Key\": \"a\"}]}", Some(Product::Alb)),
            ("x", "hello\n", None),
            ("x", "", None),
        ] {
            assert_eq!(detect(&Source::new(name, text)), want, "{name}: {text}");
        }
    }
}
