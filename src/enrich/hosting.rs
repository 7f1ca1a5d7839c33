//! Networks that are known to be data centres, for databases that do not say so.
//!
//! A short table of the largest ones, by autonomous system number. It is the last thing asked: a list or a database
//! that names the kind of a network goes before it. Names and numbers are those of the regional registries
//! (RIPE, ARIN, APNIC) as PeeringDB shows them.

/// Autonomous systems of large hosting companies and clouds, sorted by number.
const HOSTING_NETWORKS: [u32; 36] = [
    3_842,   // InMotion Hosting (RamNode)
    7_979,   // Servers.com
    8_075,   // Microsoft Azure
    8_560,   // IONOS
    8_987,   // Amazon (data services, Ireland)
    9_009,   // M247
    12_876,  // Scaleway
    13_335,  // Cloudflare
    14_061,  // DigitalOcean
    14_618,  // Amazon (AES)
    15_169,  // Google
    16_276,  // OVH
    16_509,  // Amazon (AWS)
    16_625,  // Akamai
    19_551,  // Imperva
    19_871,  // Network Solutions hosting
    20_473,  // Vultr (The Constant Company)
    20_940,  // Akamai
    24_940,  // Hetzner
    26_347,  // DreamHost
    26_496,  // GoDaddy
    28_753,  // Leaseweb Germany
    31_898,  // Oracle Cloud
    36_351,  // IBM Cloud (SoftLayer)
    37_963,  // Alibaba (China)
    40_021,  // Contabo (US)
    45_090,  // Tencent Cloud (China)
    45_102,  // Alibaba Cloud
    46_606,  // Unified Layer (Bluehost)
    51_167,  // Contabo
    54_113,  // Fastly
    54_825,  // Equinix Metal (Packet)
    60_068,  // Datacamp (CDN77)
    60_781,  // Leaseweb Netherlands
    63_949,  // Akamai Connected Cloud (Linode)
    396_982, // Google Cloud
];

/// Whether the autonomous system `asn` is known to be a data centre or a cloud.
pub fn is_hosting_network(asn: u32) -> bool {
    HOSTING_NETWORKS.contains(&asn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clouds_are_hosting_and_access_networks_are_not() {
        assert!(is_hosting_network(16_509));
        assert!(is_hosting_network(14_061));
        assert!(!is_hosting_network(3_320), "Deutsche Telekom serves people");
        assert!(!is_hosting_network(0));
    }
}
